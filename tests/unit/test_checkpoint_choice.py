"""The choice of the checkpoint: which are compared, which one wins, and what is left on disk."""

import json
import re
from pathlib import Path

import pytest

from config.records import Adapter, Message, Prompt, Spec, ToolCall, TrainProgress, Trajectory
from config.report.checkpoints import CheckpointChoice, CheckpointScore
from config.report.metrics import Fraction
from config.report.model import Report
from worker.curate.dataset import VALID_PROMPTS as CHOOSING
from worker.evaluate import checkpoint_choice
from worker.evaluate.checkpoint_choice import (
    MOST,
    apply,
    choose_checkpoint,
    choosing_prompts,
    compared,
    keep_last,
    known_score,
    reason_not_to,
    score_of,
    stored_key,
)
from worker.train.saved_weights import SavedWeights, saved_weights


def saved(*iterations: int) -> list[SavedWeights]:
    return [SavedWeights(iteration, Path(f"{iteration:07d}_adapters.safetensors")) for iteration in iterations]


def score(iteration: int, right: int, loops: int = 0, loss: float | None = None) -> CheckpointScore:
    return CheckpointScore(
        iteration=iteration,
        grounded_correct=Fraction(count=right, of=12),
        loops=Fraction(count=loops, of=12),
        valid_loss=loss,
    )


def trained(iterations: int = 200) -> Adapter:
    return Adapter(
        path="a", student="s", dataset_hash="h", iterations=iterations, peak_memory_gb=1, tokens_per_second=1, seconds=1
    )


def adapter_folder(folder: Path, *iterations: int) -> Path:
    folder.mkdir()
    for iteration in iterations:
        (folder / f"{iteration:07d}_adapters.safetensors").write_text(f"weights {iteration}")
    (folder / "adapters.safetensors").write_text("weights 200")
    (folder / "adapter_config.json").write_text("{}")
    return folder


def choosing(folder: Path, count: int) -> Path:
    folder.mkdir()
    prompts = [Prompt(prompt=f"q{number}", expect={"contains": ["x"]}) for number in range(count)]
    others = [Prompt(prompt="no tools", requires_tools=False, expect={"contains": ["x"]}), Prompt(prompt="ungraded")]
    (folder / CHOOSING).write_text("".join(prompt.model_dump_json() + "\n" for prompt in [*others, *prompts]))
    return folder


@pytest.mark.parametrize(
    ("iterations", "count", "chosen"),
    [
        ((100, 200, 300, 400, 500, 600), 3, [200, 400, 600]),
        ((100, 200, 207), 3, [100, 207]),  # 69 and 138 both lie nearest to 100
        ((100, 200, 207), 2, [100, 207]),
        ((100, 200), 1, [200]),
        ((200,), 3, [200]),
        ((), 3, []),
    ],
)
def test_checkpoints_compared_are_spread_and_include_the_last(
    iterations: tuple[int, ...], count: int, chosen: list[int]
) -> None:
    assert [one.iteration for one in compared(saved(*iterations), count)] == chosen


def test_the_most_right_answers_win_whatever_the_loss() -> None:
    choice = CheckpointChoice.of((score(100, 9, loss=0.31), score(200, 7, loss=0.11), score(300, 4, loss=0.04)))
    assert choice.iteration == 100
    assert choice.reason == "iteration 100 answered 9 of 12 questions of the valid split rightly"


def test_of_equal_answers_fewer_loops_and_then_the_latest_win() -> None:
    assert CheckpointChoice.of((score(100, 9, loops=1), score(200, 9, loops=3))).iteration == 100
    tied = CheckpointChoice.of((score(100, 9), score(200, 9), score(300, 8)))
    assert (tied.iteration, "1 other" in tied.reason) == (200, True)


def test_a_right_answer_without_a_real_result_does_not_count() -> None:
    def answer(*, looked: bool) -> Trajectory:
        call = ToolCall(id="c", name="grep", arguments={"pattern": "Task"})
        looking = (
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", tool_call_id="c", content="app.py:1: class Task"),
        )
        return Trajectory(
            run_id="r",
            job_id="j",
            prompt="Where is the class Task defined?",
            expect={"contains": ["app.py"]},
            messages=(
                Message(role="user", content="Where is the class Task defined?"),
                *(looking if looked else ()),
                Message(role="assistant", content="The class Task is defined in app.py."),
            ),
            outcome="completed",
            finish_reasons=("tool_calls", "stop") if looked else ("stop",),
        )

    losses = [TrainProgress(iteration=at, iterations=200, valid_loss=loss) for at, loss in ((0, 3.0), (99, 0.5))]
    found = score_of(saved(100)[0], [answer(looked=True), answer(looked=False)], losses)
    assert found.grounded_correct == Fraction(count=1, of=2)
    assert found.valid_loss == 0.5


def test_only_graded_tool_questions_choose_and_not_too_many(tmp_path: Path) -> None:
    found = choosing_prompts(choosing(tmp_path / "few", 3))
    assert [prompt.prompt for prompt in found] == ["q0", "q1", "q2"]
    assert len(choosing_prompts(choosing(tmp_path / "many", MOST + 5))) == MOST
    assert choosing_prompts(tmp_path) == []  # a dataset of an earlier version


@pytest.mark.parametrize(
    ("iterations", "questions", "asked", "reason"),
    [
        ((100, 200), 12, None, ""),
        ((100, 200), 11, None, "11 questions .* of at least 12"),
        ((100, 200), 1, 2, ""),  # asked for by number: the user decides
        ((100, 200), 0, 2, "0 questions .* of at least 1;"),
        ((200,), 12, None, "saved no other checkpoint; set save_every lower"),
    ],
)
def test_nothing_is_compared_with_too_few_questions_or_checkpoints(
    iterations: tuple[int, ...], questions: int, asked: int | None, reason: str
) -> None:
    prompts = [Prompt(prompt=f"q{number}") for number in range(questions)]
    found = reason_not_to(saved(*iterations), prompts, asked=asked)
    assert re.search(reason, found) if reason else found == ""


def test_a_chosen_checkpoint_becomes_the_weights_and_the_last_one_stays(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "adapter", 100)
    assert keep_last(folder, 200) == SavedWeights(200, folder / "0000200_adapters.safetensors")
    choice = CheckpointChoice.of((score(100, 9), score(200, 3)))
    apply(folder, saved_weights(folder)[0], choice)
    assert (folder / "adapters.safetensors").read_text() == "weights 100"
    assert CheckpointChoice.model_validate_json((folder / "checkpoints.json").read_text()) == choice
    keep_last(folder, 200)  # as a second start does: it must not take the chosen weights for the last ones
    assert [one.path.read_text() for one in saved_weights(folder)] == ["weights 100", "weights 200"]


def test_one_checkpoint_leaves_the_adapter_as_it_is(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "adapter", 100)
    before = sorted(file.name for file in folder.iterdir())
    assert _choose(folder, tmp_path, Spec(run_id="r", checkpoints=1)) is None
    assert sorted(file.name for file in folder.iterdir()) == before


def test_a_valid_split_that_is_too_small_leaves_the_last_checkpoint_and_the_reason(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "adapter", 100)
    choice = _choose(folder, tmp_path, Spec(run_id="r"))
    assert choice is not None
    assert (choice.iteration, choice.scores) == (200, ())
    assert "the valid split has 3 questions" in choice.reason
    assert (folder / "adapters.safetensors").read_text() == "weights 200"
    page = Report(run_id="r", student="s", identity="i", checkpoints=choice).markdown()
    assert "Checkpoint: the last one, iteration 200" in page


def test_the_report_has_the_table_and_an_unused_choice_is_not_stored() -> None:
    choice = CheckpointChoice.of((score(100, 9, loss=0.31), score(200, 7, loops=2)))
    report = Report(run_id="r", student="s", identity="i", checkpoints=choice)
    assert "| 100 | 9 of 12 | 0 of 12 | 0.310 | chosen |\n| 200 | 7 of 12 | 2 of 12 |  |  |" in report.markdown()
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert "checkpoints" not in json.loads(Report(run_id="r", student="s", identity="i").model_dump_json())
    assert {"checkpoints", "trainer"}.isdisjoint(json.loads(Spec(run_id="r").model_dump_json()))


def _choose(folder: Path, tmp_path: Path, spec: Spec) -> CheckpointChoice | None:
    return choose_checkpoint(
        folder,
        trained(),
        choosing(tmp_path / "dataset", 3),
        spec=spec,
        student=tmp_path,
        workspace_for=lambda _: None,
        out=tmp_path / "out",
        on_progress=lambda *_: None,
        worker="w",
    )


def test_a_stored_score_counts_only_for_the_same_weights_questions_and_limits(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "adapter", 100, 200)
    early, late = saved_weights(folder)
    spec, prompts = Spec(run_id="r"), [Prompt(prompt="q")]
    key = stored_key(early, spec, prompts)
    assert key == stored_key(early, Spec(run_id="r"), [Prompt(prompt="q")])
    others = (
        stored_key(late, spec, prompts),
        stored_key(early, Spec(run_id="r", tools=("grep",)), prompts),
        stored_key(early, spec, [Prompt(prompt="another")]),
    )
    assert key not in others
    (tmp_path / "score.json").write_text(json.dumps({"key": key, "score": score(100, 9).model_dump(mode="json")}))
    assert known_score(tmp_path, key) == score(100, 9)
    assert known_score(tmp_path, others[0]) is None
    (tmp_path / "score.json").write_text('{"key": ')  # torn by a full disk
    assert known_score(tmp_path, key) is None


def test_the_defaults_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "trainers.md").read_text(encoding="utf-8")
    assert f"at least {checkpoint_choice.FEWEST_QUESTIONS}" in page
    assert f"at most {MOST}" in page
    assert f"compares {checkpoint_choice.COMPARED} " in page
