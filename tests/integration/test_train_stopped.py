"""A training that cannot go on: each cause in one line with what to change, and nothing of an earlier adapter lost."""

import time
from pathlib import Path

import psutil
import pytest

from config.errors import TrainingError
from config.records import JsonObject, TrainProgress
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from worker.train.checkpoints import checkpoints, folder_of
from worker.train.trainer import train

pytestmark = pytest.mark.timeout(240)

QUICK: JsonObject = {"iters": 8, "batch_size": 2, "steps_per_report": 1, "save_every": 2, "grad_checkpoint": False}
WITHIN = 5.0  # seconds from a cancellation to the end of the child


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_training_set(tmp_path_factory.mktemp("data") / "dataset")


def plant(monkeypatch: pytest.MonkeyPatch, child: str) -> None:
    monkeypatch.setattr("worker.train.process.CHILD_MODULE", f"tests.support.planted.{child}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def trained(dataset: Path, student: Path, out: Path, overrides: JsonObject = QUICK) -> list[TrainProgress]:
    lines: list[TrainProgress] = []
    train(dataset, student=student, out=out, overrides=overrides, on_progress=lines.append, cancelled=lambda: False)
    return lines


def stopped(dataset: Path, student: Path, out: Path, overrides: JsonObject = QUICK) -> str:
    with pytest.raises(TrainingError) as caught:
        trained(dataset, student, out, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "train.log"}


def test_a_huge_learning_rate_is_told_as_divergence_at_its_iteration(
    dataset: Path, student: Path, tmp_path: Path
) -> None:
    huge: JsonObject = {
        **QUICK,
        "learning_rate": 0.99,
        "lora_parameters": {"rank": 8, "scale": 1e20, "dropout": 0.0},
        "steps_per_report": 8,  # found before the report is due
    }
    error = stopped(dataset, student, tmp_path / "out", huge)
    assert "the training has diverged; lower learning_rate (now 0.99) (log: " in error
    assert " at iteration " in error or " after iteration " in error
    assert not (tmp_path / "out" / "adapters.safetensors").exists()


def test_out_of_memory_is_told_with_what_to_lower(
    dataset: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "hungry_child")
    error = stopped(dataset, student, tmp_path / "out")
    assert "memory" in error.partition(":")[0]
    assert "lower batch_size (now 2), set grad_checkpoint=true, lower num_layers (now 16) or curate with a" in error
    assert [found.iteration for found in checkpoints(folder_of(tmp_path / "out"))] == [2]


def test_a_killed_child_is_told_and_the_training_goes_on_from_its_checkpoint(
    dataset: Path, student: Path, tmp_path: Path
) -> None:
    def kill(line: TrainProgress) -> None:
        if line.iteration == 5:
            for child in psutil.Process().children(recursive=True):
                if "worker.train.child" in child.cmdline() and "watchdog" not in " ".join(child.cmdline()):
                    child.kill()

    long: JsonObject = {**QUICK, "iters": 40}
    with pytest.raises(TrainingError, match=r"was killed \(SIGKILL\).*it goes on from iteration \d+ \(log: "):
        train(
            dataset,
            student=student,
            out=tmp_path / "out",
            overrides=long,
            on_progress=kill,
            cancelled=lambda: False,
        )
    last = checkpoints(folder_of(tmp_path / "out"))[-1]
    assert 4 <= last.iteration < 40
    assert len([line for line in trained(dataset, student, tmp_path / "out", long) if line.train_loss]) == 40
    log = (tmp_path / "out" / "train.log").read_text()
    assert "iteration 40," in log


def test_a_full_disk_is_told_with_what_to_free_and_loses_nothing(
    dataset: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    trained(dataset, student, out, {**QUICK, "iters": 4})
    before = content(out)
    with monkeypatch.context() as planted:
        plant(planted, "full_disk_child")
        error = stopped(dataset, student, out)
    assert error.startswith(f"no space left at {str(tmp_path)!r} (")
    assert "start the training again; it goes on from iteration 2 (log: " in error
    assert content(out) == before
    assert [found.iteration for found in checkpoints(folder_of(out))] == [2]
    assert [line.iteration for line in trained(dataset, student, out) if line.train_loss] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_disk_that_is_full_when_the_adapter_is_written_keeps_the_trained_checkpoint(
    dataset: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    with monkeypatch.context() as planted:
        planted.setattr("worker.train.recipe.shutil.copyfile", full)
        error = stopped(dataset, student, out)
    assert "no space left at" in error
    assert "it goes on from iteration 8" in error
    assert not (out / "adapters.safetensors").exists()
    trained(dataset, student, out)
    assert (out / "adapters.safetensors").is_file()
    assert not folder_of(out).exists()


def test_cancel_ends_a_child_that_loads_its_model_within_five_seconds(
    dataset: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "slow_child")
    log = folder_of(tmp_path / "out") / "train.log"
    cancelled_at: list[float] = []

    def cancelled() -> bool:
        if not cancelled_at and log.is_file() and "loading" in log.read_text():
            cancelled_at.append(time.monotonic())
        return bool(cancelled_at)

    with pytest.raises(TrainingError, match="training was cancelled"):
        train(
            dataset,
            student=student,
            out=tmp_path / "out",
            overrides=QUICK,
            on_progress=lambda _: None,
            cancelled=cancelled,
        )
    assert time.monotonic() - cancelled_at[0] < WITHIN
