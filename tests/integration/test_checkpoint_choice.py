"""The choice of the checkpoint with real servers: each is asked once, and an interrupted choice continues."""

import shutil
from pathlib import Path

import pytest

from config.errors import StoppedError
from config.records import Adapter, Limits, Pin, Prompt, Spec
from config.report.checkpoints import CheckpointChoice
from tests.support.tiny_adapter import make_tiny_adapter
from tests.support.tiny_student import make_tiny_student
from worker.curate.dataset import VALID_PROMPTS as CHOOSING
from worker.evaluate.checkpoint_choice import choose_checkpoint
from worker.tools.workspace import Workspace

SPEC = Spec(run_id="tiny", tools=("grep",), evaluate_limits=Limits(requests=2, max_tokens=6, seconds=60), checkpoints=2)
PROMPTS = [Prompt(prompt=f"Where is Task{number}?", expect={"contains": ["app.py"]}) for number in range(2)]
TRAINED = Adapter(
    path="a", student="s", dataset_hash="h", iterations=200, peak_memory_gb=1, tokens_per_second=1, seconds=1
)

pytestmark = pytest.mark.timeout(180)


def choose(folder: Path, student: Path, *, stop_after: int = 10**6) -> tuple[CheckpointChoice | None, list[str]]:
    """Choose; the names under which progress was reported. Cancelled after so many reports."""
    told: list[str] = []
    choice = choose_checkpoint(
        folder / "adapter",
        TRAINED,
        folder,
        spec=SPEC,
        student=student,
        workspace_for=lambda _: Workspace(folder / "code", Pin(origin="code")),
        out=folder / "out",
        on_progress=lambda phase, done, total: told.append(f"{phase} {done}/{total}"),
        worker="test",
        cancelled=lambda: len(told) >= stop_after,
    )
    return choice, told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with two questions, code, and an adapter with a checkpoint and other last weights."""
    (tmp_path / CHOOSING).write_text("".join(prompt.model_dump_json() + "\n" for prompt in PROMPTS))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("class Task0: ...\n")
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=1)
    earlier = make_tiny_adapter(tmp_path / "earlier", strength=0.1) / "adapters.safetensors"
    shutil.copyfile(earlier, adapter / "0000100_adapters.safetensors")
    return tmp_path


def test_each_checkpoint_answers_once_and_an_interrupted_choice_continues(folder: Path, tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    with pytest.raises(StoppedError):
        choose(folder, student, stop_after=4)  # during the second
    assert not (folder / "adapter" / "checkpoints.json").exists()
    choice, told = choose(folder, student)
    assert {line.rpartition(" ")[0] for line in told} == {"checkpoint 200 (2 of 2)"}  # the first was not asked again
    assert told[-1] == "checkpoint 200 (2 of 2) 2/2"
    assert choice is not None
    assert [one.iteration for one in choice.scores] == [100, 200]
    assert all((one.grounded_correct.of, one.loops.of) == (2, 2) for one in choice.scores)
    assert CheckpointChoice.model_validate_json((folder / "adapter" / "checkpoints.json").read_text()) == choice
    again, told = choose(folder, student)
    assert (again, told) == (choice, [])
    weights = (folder / "adapter" / f"{choice.iteration:07d}_adapters.safetensors").read_bytes()
    assert (folder / "adapter" / "adapters.safetensors").read_bytes() == weights
    answers = [(folder / "out" / f"0000{one}00" / "after.jsonl").read_text() for one in (1, 2)]
    assert answers[0] != answers[1]  # other weights answered
