"""A training that was killed goes on from its last checkpoint and ends with the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from safetensors.numpy import load_file

from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Adapter, JsonObject, Prompt, Spec, StageState, TrainProgress, Trajectory
from config.settings import Settings, settings
from config.topology import Stage
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from worker.fleet.leases import Leases
from worker.stage_runner import StageRunner
from worker.student.cpu_blas.blas import mlx_environment
from worker.train.checkpoints import checkpoints, folder_of
from worker.train.saved_weights import saved_weights
from worker.train.trainer import train

pytestmark = pytest.mark.timeout(240)

SIZE: JsonObject = {"batch_size": 2, "iters": 22, "steps_per_report": 4, "steps_per_eval": 5, "save_every": 3}
# Each part of the state counts: moments, schedule, dropout's random numbers, accumulated gradients.
RECIPE: JsonObject = {
    **SIZE,
    "grad_checkpoint": False,
    "lora_parameters": {"rank": 4, "scale": 20.0, "dropout": 0.2},
    "grad_accumulation_steps": 2,
    "lr_schedule": {"name": "cosine_decay", "arguments": [1e-3, 22], "warmup": 4},
}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_training_set(tmp_path_factory.mktemp("data") / "dataset", train=10, valid=4)


def trained(
    dataset: Path, student: Path, out: Path, recipe: JsonObject = RECIPE
) -> tuple[Adapter, list[TrainProgress]]:
    lines: list[TrainProgress] = []
    adapter = train(
        dataset,
        student=student,
        out=out,
        overrides=recipe,
        on_progress=lines.append,
        cancelled=lambda: False,
    )
    return adapter, lines


@pytest.fixture(scope="module")
def whole(dataset: Path, student: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """The adapter of a training that was not interrupted."""
    return trained(dataset, student, tmp_path_factory.mktemp("whole") / "whole")[0]


def weights(adapter: Path) -> dict[str, np.ndarray]:
    return load_file(adapter / "adapters.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from config.records import TrainProgress
    from worker.train.checkpoints import checkpoints, folder_of
    from worker.train.trainer import train
    dataset, student, out = map(Path, sys.argv[1:])
    def kill(line: TrainProgress) -> None:
        if line.iteration >= {at}:
            os.kill(os.getpid(), signal.SIGKILL)
    train(dataset, student=student, out=out, overrides={recipe}, on_progress=kill, cancelled=lambda: False)
"""


def kill_at(iteration: int, dataset: Path, student: Path, out: Path, recipe: JsonObject = RECIPE) -> None:
    """Train in another process that is killed, with its child, at the first report of the iteration."""
    code = textwrap.dedent(KILLED).format(at=iteration, recipe=recipe)
    environment = {**os.environ, "APPLEJACK_DIR": str(settings().dir.absolute())}
    command = [sys.executable, "-c", code, str(dataset), str(student), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def losses(adapter: Adapter) -> list[tuple[int, float | None, float | None]]:
    return [(line.iteration, line.train_loss, line.valid_loss) for line in adapter.losses]


def test_a_killed_training_resumes_and_ends_with_the_same_weights_and_losses(
    dataset: Path, student: Path, whole: Adapter, tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    for at in (12, 16):  # killed twice
        kill_at(at, dataset, student, out)
        *_, before, last = checkpoints(folder_of(out))
        assert last.iteration in range(at - 4, 22)
        assert not out.exists()
    os.truncate(last.path / "optimizer.safetensors", 100)  # the disk lost its end
    assert checkpoints(folder_of(out))[-1] == before
    adapter, lines = trained(dataset, student, out)
    assert saved_weights(out)  # of the checkpoints before the last one
    assert losses(adapter) == losses(whole)
    assert [line.iteration for line in lines if not line.plan] == [line.iteration for line in whole.losses]
    assert same_weights(Path(whole.path), out)
    assert not folder_of(out).exists()


def test_losses_and_weights_are_those_of_mlx_lm_s_own_loop(whole: Adapter, tmp_path: Path) -> None:
    """Fails when an update of mlx_lm changes its loop, or ours differs from it."""
    config = json.loads((Path(whole.path) / "adapter_config.json").read_text())
    code = """
        import json, sys, types
        import mlx_lm, numpy as np
        from mlx_lm import lora
        from pathlib import Path
        from worker.student import fenced_json
        from functools import partial
        from mlx_lm.tuner import trainer
        from worker.train.child import datasets, sequences
        from worker.train.loss import arrays, endless_batches, loss_of
        from worker.train.sequences import grouped
        args = types.SimpleNamespace(**json.loads(sys.argv[1]))
        np.random.seed(args.seed)
        fenced_json.register()
        model, tokenizer = mlx_lm.load(args.model)[:2]
        training, validation, _ = datasets(args, tokenizer)
        class Kept(lora.TrainingCallback):
            losses = []
            def on_train_loss_report(self, info): self.losses.append([info["iteration"], info["train_loss"]])
        def batches(dataset, batch_size, max_seq_length, loop=False, comm_group=None):
            if loop: return endless_batches(dataset, batch_size)
            return (arrays(batch) for batch in grouped(dataset, batch_size))
        lora.CacheDataset = sequences
        lora.train = partial(trainer.train, loss=loss_of(model), iterate_batches=batches)
        lora.train_model(args, model, training, validation, Kept())
        print(json.dumps(Kept.losses))
    """
    config["adapter_path"] = str(tmp_path / "theirs")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), json.dumps(config)],
        env={**os.environ, **mlx_environment()},  # the same BLAS, so that not a bit differs
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert same_weights(Path(whole.path), tmp_path / "theirs")
    ours = [(line.iteration, line.train_loss) for line in whole.losses if line.train_loss is not None]
    assert [iteration for iteration, _ in ours] == [iteration for iteration, _ in theirs]
    assert np.allclose([loss for _, loss in ours], [loss for _, loss in theirs], rtol=1e-6)


RUN = "night-1"
WORKER = """
    import os, signal, sys
    from config.ledger import Ledger
    from config.settings import settings
    from config.topology import Stage
    from worker.fleet.leases import Leases
    from worker.stage_runner import StageRunner
    from worker.stages import work
    report = work.report
    def kill(context, progress):
        report(context, progress)
        if progress.iteration >= 12:
            os.kill(os.getpid(), signal.SIGKILL)
    work.report = kill
    ledger = Ledger.connect(sys.argv[1])
    leases = Leases(ledger.fleet, lease_seconds=2)
    StageRunner(ledger, leases, settings(), "w1").run("night-1", Stage.TRAIN)
"""


def test_the_next_worker_of_a_host_goes_on_with_the_training_of_a_killed_one(
    ledger: Ledger, redis_url: SecretStr, dataset: Path, student: Path, whole: Adapter, tmp_path: Path
) -> None:
    spec = Spec(run_id=RUN, student=str(student), dataset_format="turns", lora=RECIPE)
    (job_id,) = ledger.create(spec, [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin(RUN, job_id, worker="w", lease_seconds=60, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id=RUN, job_id=job_id, prompt="q", outcome="completed"), worker="w")
    claim = ledger.stages.begin(RUN, Stage.CURATE, worker="w", lease_seconds=60)
    assert isinstance(claim, StageClaim)
    ledger.files.put(RUN, "dataset", dataset)
    ledger.stages.finish(claim, result={"kept": 1})
    environment = {**os.environ, "APPLEJACK_DIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(WORKER), redis_url.get_secret_value()]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    deadline = time.monotonic() + 30
    while not ledger.fleet.reap(RUN):  # as the reconciler does when the lease has expired
        assert time.monotonic() < deadline
        time.sleep(0.2)
    last = checkpoints(folder_of(tmp_path / "runs" / RUN / "adapter-v1"))[-1].iteration
    leases = Leases(ledger.fleet, lease_seconds=30)
    StageRunner(ledger, leases, Settings(dir=tmp_path), "w2").run(RUN, Stage.TRAIN)
    view = ledger.stages.view(RUN, Stage.TRAIN)
    assert (view.state, view.error) == (StageState.DONE, "")
    assert losses(Adapter.model_validate(view.result)) == losses(whole)
    assert last >= 8
    shown = [line["iteration"] for line in ledger.stages.progress(RUN, Stage.TRAIN)[1:]]
    assert shown == [line.iteration for line in whole.losses]  # in the ledger too the reports go on
    ledger.files.get(RUN, "adapter", tmp_path / "fetched")
    assert same_weights(Path(whole.path), tmp_path / "fetched")
