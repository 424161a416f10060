"""A user's own trainer, for real: mlx_lm's command on a tiny student, failures, and a worker that allows none."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from config.errors import TrainingError
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Adapter, JsonObject, Prompt, Spec, StageState, TrainProgress, Trajectory
from config.settings import Settings
from config.topology import Stage
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from worker.device.device_lock import uses
from worker.fleet.leases import Leases
from worker.stage_runner import StageRunner
from worker.train.command_trainer import train_with_command

ROOT = Path(__file__).parents[2]
MLX_LORA = (sys.executable, str(ROOT / "examples" / "trainers" / "mlx_lora.py"))
QUICK: JsonObject = {"iters": 4, "batch_size": 2, "steps_per_report": 1, "save_every": 2}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_training_set(tmp_path / "dataset")


def trained(command: tuple[str, ...], dataset: Path, student: Path, out: Path) -> tuple[Adapter, list[TrainProgress]]:
    lines: list[TrainProgress] = []
    adapter = train_with_command(
        command,
        dataset,
        student=student,
        out=out,
        overrides=QUICK,
        on_progress=lines.append,
        cancelled=lambda: False,
        cwd=dataset.parent,
        run_id="r",
    )
    return adapter, lines


def script(folder: Path, code: str) -> tuple[str, ...]:
    (folder / "train.py").write_text(
        f"import json, pathlib, sys\nconfig = json.load(open(sys.argv[-1]))\nout = pathlib.Path(config['out'])\n{code}"
    )
    return sys.executable, "train.py"


def test_mlx_lms_own_command_trains_as_ours_does(dataset: Path, student: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    adapter, lines = trained(MLX_LORA, dataset, student, out)
    assert lines[0].plan == "6 rows, 1.33 epochs, 4 iterations"
    assert [line.iteration for line in lines if line.train_loss is not None] == [1, 2, 3, 4]
    assert [line.iteration for line in lines if line.valid_loss is not None] == [0, 1, 2, 3]
    assert (adapter.iterations, adapter.trainer, adapter.unservable) == (4, shlex.join(MLX_LORA), None)
    assert adapter.tokens_per_second > 0
    assert {"adapters.safetensors", "0000002_adapters.safetensors", "train.log"} <= {
        file.name for file in out.iterdir()
    }
    assert json.loads((out / "adapter_config.json").read_text())["adapter_path"] == str(out)
    again, lines = trained(MLX_LORA, dataset, student, out)
    assert (again, lines) == (adapter, [])


def test_a_trainer_gets_the_whole_configuration_and_holds_the_device(
    dataset: Path, student: Path, tmp_path: Path
) -> None:
    code = "out.joinpath('model.gguf').write_text('x'); import time; time.sleep(0.5)"
    seen: list[str] = []
    adapter = train_with_command(
        script(tmp_path, code),
        dataset,
        student=student,
        out=tmp_path / "out",
        overrides={**QUICK, "num_layers": -1},
        on_progress=lambda _: seen.extend(str(use) for use in uses(Settings().lock_dir)),
        cancelled=lambda: False,
        cwd=tmp_path,
        run_id="night-1",
    )
    assert seen == ["training of night-1"]
    config = json.loads((tmp_path / "out-trainer" / "config.json").read_text())
    assert config["schema_version"] == 1
    assert (config["run_id"], config["format"], config["rows"]["train"]) == ("night-1", "turns", 6)
    assert (config["dataset"], config["student"]) == (str(dataset), str(student))
    values = config["hyperparameters"]
    assert (values["iters"], values["num_layers"], values["lora_parameters"]["rank"]) == (4, 2, 8)  # all of two layers
    assert adapter.unservable is not None
    assert "left model.gguf" in adapter.unservable
    assert (tmp_path / "out-trainer" / "out" / "model.gguf").exists()  # kept for its user, not sent to Redis
    assert "model.gguf" not in {file.name for file in (tmp_path / "out").iterdir()}


def test_an_interrupted_trainer_finds_what_it_left_and_a_changed_one_does_not(
    dataset: Path, student: Path, tmp_path: Path
) -> None:
    stopping = (
        "found = (out / 'half').exists(); (out / 'half').touch(); print('found', found)\nif not found: sys.exit(3)"
    )
    with pytest.raises(TrainingError, match=r"exit code 3: found False \(log: .*out-trainer/train.log\)"):
        trained(script(tmp_path, stopping), dataset, student, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    adapter, _ = trained(script(tmp_path, stopping), dataset, student, tmp_path / "out")
    assert "left half" in str(adapter.unservable)
    with pytest.raises(TrainingError, match="found False"):
        trained(script(tmp_path, stopping + "  # changed"), dataset, student, tmp_path / "out")


def test_a_loss_that_is_no_number_stops_the_trainer(dataset: Path, student: Path, tmp_path: Path) -> None:
    code = """
import time
with open(config["progress"], "a") as file:
    file.write('{"iteration": 2, "train_loss": NaN}\\n')
time.sleep(100)
"""
    with pytest.raises(TrainingError, match="the train loss is nan at iteration 2: the training has diverged"):
        trained(script(tmp_path, code), dataset, student, tmp_path / "out")


def run_train(ledger: Ledger, settings: Settings, spec: Spec, dataset: Path) -> None:
    """Run the stage train of a run whose dataset is made."""
    ledger.create(spec, [Prompt(prompt="q", requires_tools=False)])
    ids = ledger.jobs.ids(spec.run_id)
    ledger.jobs.begin(spec.run_id, ids[0], worker="w", lease_seconds=30, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id=spec.run_id, job_id=ids[0], prompt="q", outcome="completed"), worker="w")
    claim = ledger.stages.begin(spec.run_id, Stage.CURATE, worker="w", lease_seconds=30)
    assert isinstance(claim, StageClaim)
    ledger.files.put(spec.run_id, "dataset", dataset)
    ledger.stages.finish(claim, result={"kept": 6})
    StageRunner(ledger, Leases(ledger.fleet, lease_seconds=30), settings, "w").run(spec.run_id, Stage.TRAIN)


def test_a_command_that_arrives_with_a_run_is_not_run_unless_this_worker_allows_it(
    ledger: Ledger, dataset: Path, student: Path, tmp_path: Path
) -> None:
    command = shlex.join(script(tmp_path, "open('ran', 'w'); (out / 'merged.bin').write_text('x')"))
    spec = Spec(run_id="r", student=str(student), trainer=f"command:{command}", lora=QUICK)
    refusing = Settings(dir=tmp_path / "data", trainers="sh other.sh", trainer_dir=tmp_path)
    run_train(ledger, refusing, spec, dataset)
    view = ledger.stages.view("r", Stage.TRAIN)
    assert view.state is StageState.FAILED
    assert "this worker does not run the trainer" in view.error
    assert "allowed here: 'sh other.sh'" in view.error
    assert not (tmp_path / "ran").exists()
    assert ledger.stages.reopen("r", Stage.TRAIN) == "ready"
    allowing = Settings(dir=tmp_path / "data", trainers=f"sh other.sh;{command}", trainer_dir=tmp_path)
    runner = StageRunner(ledger, Leases(ledger.fleet, lease_seconds=30), allowing, "w")
    runner.run("r", Stage.TRAIN)
    assert ledger.stages.view("r", Stage.TRAIN).state is StageState.DONE
    assert (tmp_path / "ran").exists()
    runner.run("r", Stage.EVALUATE)  # skipped, with the reason: the adapter has no form that can be served
    evaluated = ledger.stages.view("r", Stage.EVALUATE)
    assert evaluated.state is StageState.DONE
    assert "left merged.bin" in str(evaluated.result["skipped"])
