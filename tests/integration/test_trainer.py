"""Training for real: mlx_lm in its child process on a tiny student."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from config.errors import TrainingError, UsageError
from config.records import Adapter, JsonObject, TrainProgress
from config.settings import settings
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from tests.support.trajectories import looked_up
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.device.device_lock import uses
from worker.train.trainer import train

QUICK: JsonObject = {"iters": 4, "batch_size": 2, "steps_per_report": 1, "grad_checkpoint": False}
ENDLESS: JsonObject = {**QUICK, "iters": 100_000, "save_every": 100_000}
PATIENCE = 90  # seconds; a machine that compiles mlx's kernels for the first time and does other things too

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_training_set(tmp_path / "dataset")


def trained(
    dataset: Path, student: Path, out: Path, overrides: JsonObject = QUICK
) -> tuple[Adapter, list[TrainProgress]]:
    lines: list[TrainProgress] = []
    adapter = train(
        dataset, student=student, out=out, overrides=overrides, on_progress=lines.append, cancelled=lambda: False
    )
    return adapter, lines


def test_train_reports_progress_and_leaves_a_whole_adapter(dataset: Path, student: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    adapter, lines = trained(dataset, student, out)
    assert [line.iteration for line in lines if line.train_loss is not None] == [1, 2, 3, 4]
    assert lines[0].plan.startswith("6 rows, 1.33 epochs, 4 iterations, about 1.0 GB")
    assert lines[1].valid_loss is not None
    assert (adapter.rows, adapter.epochs) == (6, 1.33)
    assert adapter.losses == tuple(line.model_copy(update={"seconds": None}) for line in lines[1:])
    assert (adapter.iterations, adapter.path, adapter.dataset_hash) == (4, str(out), "abc")
    assert adapter.peak_memory_gb > 0
    assert adapter.backend == ("metal" if sys.platform == "darwin" else "cpu")
    assert adapter.tokens_per_second > 0
    assert Adapter.model_validate_json((out / "adapter.json").read_text()) == adapter
    assert json.loads((out / "adapter_config.json").read_text())["adapter_path"] == str(out)
    assert {"adapters.safetensors", "recipe.json", "train.log"} <= {file.name for file in out.iterdir()}
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_train_again_returns_the_adapter_and_other_hyperparameters_replace_it(
    dataset: Path, student: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first, _ = trained(dataset, student, out)
    again, lines = trained(dataset, student, out)
    assert (again, lines) == (first, [])
    other, lines = trained(dataset, student, out, {**QUICK, "iters": 2})
    assert (other.iterations, len(lines) > 0) == (2, True)


def test_train_refuses_a_directory_that_is_not_an_adapter(dataset: Path, student: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(UsageError, match="thesis"):
        trained(dataset, student, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


def test_train_tells_in_one_line_why_the_child_failed_and_keeps_the_log(
    dataset: Path, student: Path, tmp_path: Path
) -> None:
    broken = make_tiny_student(tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "model_type": "no_such_model"}))
    with pytest.raises(TrainingError, match="no_such_model") as caught:
        trained(dataset, broken, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert Path(str(caught.value).rpartition("(log: ")[2].removesuffix(")")).is_file()
    assert "Traceback" in (tmp_path / "out" / "train.log").read_text()
    assert not (tmp_path / "out" / "adapter.json").exists()
    trained(dataset, student, tmp_path / "out")  # what a failure left does not stand in the way


@pytest.mark.parametrize(
    "options",
    [
        Options(format="turns", test_share=0, valid_share=0.3),
        Options(format="turns", test_share=0, valid_share=0),
        Options(format="seed-text"),  # has no test split
    ],
)
def test_a_curated_dataset_with_empty_splits_can_be_trained_on(options: Options, student: Path, tmp_path: Path) -> None:
    """Fails with mlx_lm's own load_dataset: an IndexError."""
    dataset = tmp_path / "dataset"
    curate([looked_up(number) for number in range(20)], out=dataset, options=options, student=student)
    assert (dataset / "test.jsonl").read_text() == ""
    adapter, lines = trained(dataset, student, tmp_path / "out")
    assert adapter.iterations == 4
    assert any(line.valid_loss is not None for line in lines) is bool((dataset / "valid.jsonl").read_text())


def test_a_failed_training_does_not_name_a_log_that_could_not_be_kept(dataset: Path, tmp_path: Path) -> None:
    """Fails where the message names the place before the log is there."""
    broken = make_tiny_student(tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "model_type": "no_such_model"}))
    (tmp_path / "out" / "train.log").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"its log could not be kept at .*train.log': Is a directory"):
        trained(dataset, broken, tmp_path / "out")


def test_a_loss_that_is_no_number_is_an_error(dataset: Path, tmp_path: Path) -> None:
    sick = make_tiny_student(tmp_path / "sick")
    weights = load_file(sick / "model.safetensors")
    weights["model.norm.weight"] = np.full_like(weights["model.norm.weight"], np.nan)
    save_file(weights, sick / "model.safetensors", metadata={"format": "mlx"})
    with pytest.raises(TrainingError, match="loss is nan at iteration 0"):
        trained(dataset, sick, tmp_path / "out")
    assert not (tmp_path / "out" / "adapters.safetensors").exists()


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child.status() != psutil.STATUS_ZOMBIE and "train.child" in cmdline(child)]


def cmdline(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_cancel_ends_the_child_at_once_and_leaves_no_adapter(dataset: Path, student: Path, tmp_path: Path) -> None:
    lines: list[TrainProgress] = []
    seen: list[psutil.Process] = []

    def cancelled() -> bool:
        seen.extend(children() if lines and not seen else [])
        return len(lines) > 2

    with pytest.raises(TrainingError, match="cancelled"):
        train(
            dataset,
            student=student,
            out=tmp_path / "out",
            overrides=ENDLESS,
            on_progress=lines.append,
            cancelled=cancelled,
        )
    assert seen
    assert children() == []
    assert not (tmp_path / "out" / "adapters.safetensors").exists()


PARENT = """
    import sys
    from pathlib import Path
    from config import logs, settings
    from worker.train.trainer import train
    logs.configure(settings.settings())  # to stderr
    dataset, student, out = map(Path, sys.argv[1:])
    train(dataset, student=student, out=out, overrides={overrides}, cancelled=lambda: False,
          on_progress=lambda line: line.plan or print(line.iteration, flush=True))
"""


def test_a_killed_parent_leaves_no_child(dataset: Path, student: Path, tmp_path: Path) -> None:
    code = textwrap.dedent(PARENT).format(overrides=ENDLESS)
    environment = {**os.environ, "APPLEJACK_DIR": str(settings().dir.absolute())}
    places = [str(dataset), str(student), str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", code, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        first = parent.stdout.readline()
        orphans = psutil.Process(parent.pid).children(recursive=True)
        claims = [[file.path for file in orphan.open_files() if "locks" in file.path] for orphan in orphans]
        parent.send_signal(signal.SIGKILL)
    assert (first, len(orphans) > 0) == (b"0\n", True)  # it was training
    assert all(claims)  # the device is not free before they have ended: `keep` in reports()
    assert psutil.wait_procs(orphans, timeout=PATIENCE)[1] == []
    assert uses(settings().lock_dir) == []


def test_command_prints_the_contract_s_keys_last(dataset: Path, student: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    sets = [part for key, value in QUICK.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    places = [str(dataset), "--student", str(student), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "train", *places, *sets, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.splitlines()[-1])
    assert (body["adapter"], body["iterations"]) == (str(tmp_path / "out"), 4)
    assert len(body["losses"]) >= 4
    assert body["seconds"] <= time.monotonic() - started
