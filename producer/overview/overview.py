"""What people need to know of a run, computed once: the terminal and the pages show the same."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.records import JsonObject
from producer.overview.adapter_lines import adapter_lines
from producer.overview.causes import Cause, failures, rejections
from producer.overview.headline import counts_items, curated_items, headline, missing_worker, stages_items
from producer.overview.next_steps import Step, next_steps
from producer.overview.workers import (
    Problem,
    WorkerLine,
    standing_still,
    worker_lines,
    worker_notes,
    worker_problems,
)
from producer.run_status import RunStatus, status
from producer.stage_results import skip_reason


@dataclass(frozen=True)
class Overview:
    """A run in words and numbers."""

    status: RunStatus
    headline: str
    done: int
    """of `total`: jobs, iterations or prompts of what runs now; of 0 if that has no count"""
    total: int
    counts: tuple[str, ...]
    """jobs by state, then the result of curation: "12 running", "3 failed", ..."""
    stages: tuple[str, ...]
    """each with its state, the current and the later ones included"""
    training: str
    """the running or the finished training in one line; "" without any"""
    scores: str
    """right answers before and after the training; "" without an evaluation"""
    workers: tuple[WorkerLine, ...]
    problems: tuple[Problem, ...]
    """what is wrong, one for each cause"""
    failures: tuple[Cause, ...]
    rejections: tuple[Cause, ...]
    notes: tuple[str, ...]
    """what is not wrong and good to know"""
    next_steps: tuple[Step, ...]

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.status.run_id

    def as_json(self) -> JsonObject:
        """What `applejack status --json` adds to the status."""
        return {
            "state": self.status.state,
            "headline": self.headline,
            "problems": [
                {"text": found.text, "workers": list(found.workers), "commands": list(found.commands)}
                for found in self.problems
            ],
            "failures": [dict(asdict(cause)) for cause in self.failures],
            "rejections": [dict(asdict(cause)) for cause in self.rejections],
            "next": [dict(asdict(step)) for step in self.next_steps],
        }


def load_overview(ledger: Ledger, run_id: str) -> Overview:
    """Read a run and the fleet from the ledger; UsageError if there is no such run."""
    workers = ledger.fleet.workers()
    return overview(status(ledger, run_id, workers=workers), workers, dead_letters=ledger.dead_letters.count())


def overview(run: RunStatus, workers: Sequence[WorkerView], *, dead_letters: int = 0) -> Overview:
    """A run in words, from its status and the fleet. `dead_letters`: messages and values that were set aside."""
    lines = worker_lines(workers, run.by_worker)
    still = standing_still(lines)
    done, total = progress(run)
    wrong = (*problems(run, workers), *unreadable(dead_letters))
    return Overview(
        status=run,
        headline=headline(run, still),
        done=done,
        total=total,
        counts=(*counts_items(run), *curated_items(run)),
        stages=stages_items(run),
        training=training_line(run),
        scores=scores_line(run),
        workers=lines,
        problems=wrong,
        failures=failures(run),
        rejections=rejections(run),
        notes=(*skipped_stages(run), *adapter_lines(run), *worker_notes(workers)),
        next_steps=next_steps(run, still, troubled=bool(wrong)),
    )


def progress(run: RunStatus) -> tuple[int, int]:
    """(done, total) of the jobs, iterations or prompts of the current stage; (0, 0) if it reports none."""
    if run.training and run.training.iterations:
        return run.training.iteration, run.training.iterations
    if run.evaluation and run.evaluation.total:
        return run.evaluation.done, run.evaluation.total
    return (run.generated + run.failed, run.total) if run.stage == "generate" else (0, 0)


def unreadable(dead_letters: int) -> list[Problem]:
    """What no worker could read; `applejack doctor` names where it came from."""
    text = f"messages or values that no worker can read, set aside: {dead_letters}"
    return [Problem(text, commands=("applejack doctor",))] if dead_letters else []


def problems(run: RunStatus, workers: Sequence[WorkerView]) -> tuple[Problem, ...]:
    """What is wrong with the run, then with the workers."""
    found = [Problem(run.error)] if run.error else []
    if run.missing_role:
        found.append(Problem(missing_worker(run), commands=(f"applejack worker {run.missing_role}",)))
    lost = lost_calls(run.lost_calls)
    return (*found, *worker_problems(workers), *([Problem(lost)] if lost else []))


def skipped_stages(run: RunStatus) -> list[str]:
    """Why a stage that the run asked for did nothing."""
    return [f"{view.stage.value} skipped: {reason}" for view in run.stages if (reason := skip_reason(view.result))]


def lost_calls(counts: dict[str, int]) -> str:
    """The calls that model servers dropped as text; "" without any."""
    by_teacher = ", ".join(f"{teacher} {count}" for teacher, count in counts.items())
    return f"calls lost by the server: {sum(counts.values())} ({by_teacher}); it could not parse them" if counts else ""


def training_line(run: RunStatus) -> str:
    """Where the running training stands, else the length and the losses of the finished one; "" without any."""
    if run.training:
        return f"training: {run.training.line}"
    trained = run.stages[1].result if len(run.stages) > 1 else {}
    if not isinstance(trained.get("iterations"), int):
        return ""
    losses = f", loss {run.losses[0]:.3f} to {run.losses[-1]:.3f}" if run.losses else ""
    return f"trained: {trained['iterations']} iterations{losses}"


def scores_line(run: RunStatus) -> str:
    """Right answers from a real result before and after; "" without an evaluation."""
    result = run.stages[-1].result if run.stages else {}
    told = [f"{counts} {when}" for when in ("before", "after") if (counts := _right(result.get(when)))]
    return f"right answers from a real result: {', '.join(told)} training" if told else ""


def _right(metrics: object) -> str:
    """The count of one model's right answers, "27 of 36"; "" if nothing was graded."""
    match metrics:
        case {"grounded_correct": {"count": int(count), "of": int(of)}} if of:
            return f"{count} of {of}"
    return ""
