"""Chooses the checkpoint by its answers: the saved ones answer questions of the valid split with real tools.

Validation loss measures the tokens of the teacher's rows, not the student's own conversations: it can fall while the
answers get worse. The questions are never those of the report, whose score would otherwise be selected on.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from config import logs
from config.atomic_files import replace_file, write_text
from config.errors import EndpointError, EvaluationError, UsageError, WorkspaceError
from config.records import Adapter, Prompt, Spec, TrainProgress, Trajectory
from config.report.checkpoints import CheckpointChoice, CheckpointScore
from config.report.metrics import Fraction
from config.version import version
from worker.curate.dataset import VALID_PROMPTS
from worker.device.budget import Serving, serving
from worker.device.device_lock import Claim, device_lock
from worker.device.machine import this_machine
from worker.device.model_memory import Model
from worker.evaluate.evaluator import EvalItem, Evaluator, Progress, evaluation_spec, questions_of
from worker.evaluate.held_out import read_prompts, select
from worker.evaluate.score import observe
from worker.tools.workspace import Workspace
from worker.train.file_names import WEIGHTS
from worker.train.saved_weights import SavedWeights, saved_name, saved_weights

CHOICE = "checkpoints.json"  # in the adapter's directory
SCORE = "score.json"  # beside each checkpoint's answers
CONFIG = "adapter_config.json"
MOST = 24  # questions that choose; more cost minutes and rarely change the choice
COMPARED = 3  # checkpoints, unless the run names another number
FEWEST_QUESTIONS = 12  # with fewer, the default compares nothing: one answer would decide

log = logs.get(__name__)


def choose_checkpoint(
    adapter: Path,
    trained: Adapter,
    dataset: Path,
    *,
    spec: Spec,
    student: Path,
    workspace_for: Callable[[Prompt], Workspace | None],
    out: Path,
    on_progress: Progress,
    worker: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> CheckpointChoice | None:
    """Make the checkpoint with the best answers the weights of `adapter`; None if only the last one is considered.

    `out` keeps each checkpoint's answers and score, so that an interrupted choice continues and a repeated one returns
    the same. All checkpoints stay beside the adapter, the last one as well. Raises EvaluationError as evaluate() does;
    StoppedError if `cancelled` turns true, and DeviceError while waiting for the device.
    """
    if spec.checkpoints == 1:
        return None
    last = keep_last(adapter, trained.iterations)
    if last is None:
        return None
    found = compared(saved_weights(adapter), spec.checkpoints or COMPARED)
    prompts = choosing_prompts(dataset)
    if why := reason_not_to(found, prompts, asked=spec.checkpoints):
        choice = CheckpointChoice(iteration=last.iteration, reason=f"the last one, iteration {last.iteration}: {why}")
        return apply(adapter, last, choice)
    try:
        scores = _Comparison(
            adapter, trained, prompts, spec, student, workspace_for, out, on_progress, worker, cancelled
        ).scores(found)
    except (EndpointError, UsageError, WorkspaceError) as error:
        raise EvaluationError(f"the checkpoints could not be compared: {error}") from error
    choice = CheckpointChoice.of(scores)
    log.info("checkpoint.chosen", run_id=spec.run_id, iteration=choice.iteration, reason=choice.reason)
    return apply(adapter, next(one for one in found if one.iteration == choice.iteration), choice)


def recorded_choice(adapter: Path) -> CheckpointChoice | None:
    """The choice that is written beside an adapter's weights; None if there is none."""
    with suppress(OSError, ValidationError):
        return CheckpointChoice.model_validate_json((adapter / CHOICE).read_bytes())
    return None


def choosing_prompts(dataset: Path) -> list[Prompt]:
    """Questions of the valid split that need tools and have an expected answer, at most MOST.

    None for a dataset of an earlier version, which has no such file, or an empty valid split.
    """
    file = dataset / VALID_PROMPTS
    if not file.is_file() or not file.stat().st_size:
        return []
    return select([prompt for prompt in read_prompts(file) if prompt.requires_tools and prompt.expect], MOST)


def keep_last(adapter: Path, iterations: int) -> SavedWeights | None:
    """The last weights as a checkpoint, copied once, before another one takes their place; None without weights."""
    file = adapter / saved_name(iterations)
    if not (adapter / WEIGHTS).is_file():
        return None
    if not file.is_file():
        _copy(adapter / WEIGHTS, file)
    return SavedWeights(iterations, file)


def compared(found: Sequence[SavedWeights], count: int) -> list[SavedWeights]:
    """At most `count` checkpoints, spread evenly over the training; the last one is always among them."""
    if not found:
        return []
    last = found[-1].iteration
    wanted = [last * part / count for part in range(1, count + 1)]
    chosen = {min(found, key=lambda one: (abs(one.iteration - at), -one.iteration)) for at in wanted}
    return sorted(chosen, key=lambda one: one.iteration)


def reason_not_to(found: Sequence[SavedWeights], prompts: Sequence[Prompt], *, asked: int | None) -> str:
    """Why nothing is compared, or ""."""
    if len(found) < 2:
        return "the training saved no other checkpoint; set save_every lower"
    fewest = 1 if asked else FEWEST_QUESTIONS
    if len(prompts) < fewest:
        return (
            f"the valid split has {len(prompts)} questions that need tools and have an expected answer, of at least "
            f"{fewest}; generate more prompts, or raise valid_share"
        )
    return ""


def apply(adapter: Path, chosen: SavedWeights, choice: CheckpointChoice) -> CheckpointChoice:
    """Make the checkpoint the adapter's weights and write the choice beside them; each file is replaced atomically."""
    if _digest(adapter / WEIGHTS) != _digest(chosen.path):
        _copy(chosen.path, adapter / WEIGHTS)
    write_text(adapter / CHOICE, choice.model_dump_json(indent=2) + "\n")
    return choice


@dataclass(frozen=True)
class _Comparison:
    """Serves checkpoints one after the other and asks each the same questions."""

    adapter: Path
    trained: Adapter
    prompts: Sequence[Prompt]
    spec: Spec
    student: Path
    workspace_for: Callable[[Prompt], Workspace | None]
    out: Path
    on_progress: Progress
    worker: str
    cancelled: Callable[[], bool]

    def scores(self, found: Sequence[SavedWeights]) -> tuple[CheckpointScore, ...]:
        """The score of each checkpoint, read from `out` if it has answered the same questions before."""
        budget = serving(Model.of(self.student), this_machine(), most=self.spec.evaluate_concurrency)
        questions = questions_of(self.prompts, self.workspace_for)
        with device_lock("evaluation", self.spec.run_id, self.cancelled) as claim:
            return tuple(
                self._score(one, questions, budget, claim, f"checkpoint {one.iteration} ({number} of {len(found)})")
                for number, one in enumerate(found, 1)
            )

    def _score(
        self, checkpoint: SavedWeights, questions: tuple[EvalItem, ...], budget: Serving, claim: Claim, name: str
    ) -> CheckpointScore:
        asking, folder = evaluation_spec(self.spec), self.out / f"{checkpoint.iteration:07d}"
        key = stored_key(checkpoint, asking, self.prompts)
        if known := known_score(folder, key):
            return known
        _lay_out(self.adapter, checkpoint, folder)
        evaluator = Evaluator(
            asking, questions, self.student, folder, _reporting(name, self.on_progress), self.worker, budget, claim,
            self.cancelled,
        )  # fmt: skip
        score = score_of(checkpoint, evaluator.ask("after", folder).trajectories, self.trained.losses)
        write_text(folder / SCORE, json.dumps({"key": key, "score": score.model_dump(mode="json")}) + "\n")
        return score


def score_of(
    checkpoint: SavedWeights, answers: Sequence[Trajectory], losses: Sequence[TrainProgress]
) -> CheckpointScore:
    """The counts over one checkpoint's answers, graded as the report grades."""
    seen = [observe(answer, needs_tools=True) for answer in answers]
    graded = [one for one in seen if one.correct is not None]
    right = sum(one.correct is True and one.real_results > 0 for one in graded)
    reported = [
        (abs(line.iteration - checkpoint.iteration), line.valid_loss) for line in losses if line.valid_loss is not None
    ]
    return CheckpointScore(
        iteration=checkpoint.iteration,
        grounded_correct=Fraction(count=right, of=len(graded)),
        loops=Fraction(count=sum(one.loop for one in seen), of=len(seen)),
        valid_loss=min(reported)[1] if reported else None,
    )


def _reporting(name: str, on_progress: Progress) -> Progress:
    """Report the progress of one checkpoint under its name."""

    def report(_: str, done: int, total: int) -> None:
        on_progress(name, done, total)

    return report


def _lay_out(adapter: Path, checkpoint: SavedWeights, folder: Path) -> None:
    """The checkpoint as an adapter that mlx_lm can serve."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, (adapter / CONFIG).read_text(encoding="utf-8"))
    _copy(checkpoint.path, folder / WEIGHTS)


def stored_key(checkpoint: SavedWeights, asking: Spec, prompts: Sequence[Prompt]) -> str:
    """What the answers depend on: weights, questions, limits, tools and the version of applejack."""
    digest = hashlib.sha256(_digest(checkpoint.path).encode())
    for part in (version(), asking.model_dump_json(), *(prompt.model_dump_json() for prompt in prompts)):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def known_score(folder: Path, key: str) -> CheckpointScore | None:
    """The score stored under a key; None if there is none, or it is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError, ValidationError):
        stored = json.loads((folder / SCORE).read_text(encoding="utf-8"))
        return CheckpointScore.model_validate(stored["score"]) if stored["key"] == key else None
    return None


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> None:
    with replace_file(target) as draft:
        shutil.copyfile(source, draft)
