"""A training or a model server is killed for memory: that is named, and neither is repeated for ever."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import JobState, JsonObject, Spec, StageState, Trajectory
from config.settings import Settings
from config.topology import Stage
from tests.integration.conftest import StartWorker
from tests.support.fleet import PROBE, QUICK, RUN, all_terminal, paused, prompts, submit, told, until
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from tests.support.workers import ROOT, SCRIPTED_MODEL
from worker.endpoint.served_model import FIRST_STARTS
from worker.fleet.leases import Leases
from worker.fleet.outcome import Fate
from worker.stage_runner import StageRunner

LIMIT = 64_000_000  # bytes
CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))  # version 2 and version 1
TRAINING: JsonObject = {
    "iters": 8,
    "batch_size": 2,
    "steps_per_report": 1,
    "save_every": 2,
    "grad_checkpoint": False,
}

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A control group whose processes may have LIMIT bytes, without swap."""
    for place in CGROUPS:
        folder = place / f"applejack-test-{os.getpid()}"
        with suppress(OSError):
            folder.mkdir()
            for name in ("memory.max", "memory.limit_in_bytes"):
                if (folder / name).exists():
                    (folder / name).write_text(str(LIMIT))
                    with suppress(OSError):  # a kernel without swap accounting
                        (folder / "memory.swap.max").write_text("0")
                    yield folder
                    folder.rmdir()
                    return
            folder.rmdir()
    pytest.skip("this user may not make a control group with a memory limit")


def test_a_training_that_the_kernel_kills_for_memory_fails_once_and_names_what_to_lower(
    ledger: Ledger, memory_cgroup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without _memory_cause in worker/train/failures.py, and where a stage that failed is started again."""
    monkeypatch.setattr("worker.train.process.CHILD_MODULE", "tests.support.planted.memory_child")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TEST_CGROUP", str(memory_cgroup))
    student = make_tiny_student(tmp_path / "student")
    spec = Spec(run_id=RUN, student=str(student), lora=TRAINING, evaluate=False)
    (job,) = ledger.create(spec, prompts(1)).job_ids
    ledger.jobs.begin(RUN, job, worker="w", lease_seconds=30, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id=RUN, job_id=job, prompt="q", outcome="completed"), worker="w")
    claim = ledger.stages.begin(RUN, Stage.CURATE, worker="w", lease_seconds=30)
    assert isinstance(claim, StageClaim)
    ledger.files.put(RUN, "dataset", make_training_set(tmp_path / "dataset"))
    ledger.stages.finish(claim, result={"kept": 6})
    runner = StageRunner(ledger, Leases(ledger.fleet, lease_seconds=30), Settings(dir=tmp_path), "w")
    assert runner.run(RUN, Stage.TRAIN).fate is Fate.FAILED
    view = ledger.stages.view(RUN, Stage.TRAIN)
    assert view.state is StageState.FAILED
    assert view.error.startswith("the training was killed (SIGKILL), often because memory ran out: lower batch_size")
    assert "set grad_checkpoint=true" in view.error
    assert "curate with a max_seq_length below" in view.error
    assert "started again unchanged, it goes on from iteration 2" in view.error
    assert runner.run(RUN, Stage.TRAIN).fate is Fate.DROPPED  # it is not repeated
    assert [event.event for event in view.history].count("started") == 1


def test_a_job_that_has_the_model_server_killed_each_time_fails_and_the_others_do_not(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without ServedModel.died_since: an outage counts against no job, so it kills server after server."""
    env = {**QUICK, "APPLEJACK_SERVE": SCRIPTED_MODEL, "TEST_KILLED_BY": "question 2", "TEST_JOB_SECONDS": "0"}
    env["APPLEJACK_CONCURRENCY"] = "1"
    jobs = submit(ledger, redis_url, prompts(4), delivery_limit=2)
    worker = start_worker("generate", "w", env=env, app="tests.support.planted.unhurried", concurrency=1, wait=False)
    counts = all_terminal(ledger, seconds=120)
    assert (counts[JobState.GENERATED], counts[JobState.FAILED]) == (3, 1), ledger.jobs.failure_counts(RUN)
    assert worker.child.exit_code is None
    seen = ledger.jobs.view(RUN, jobs[1])
    assert seen.failure is FailureKind.ENDPOINT_UNREACHABLE
    assert told(ledger, jobs[1]) == ["started", "handed_back", "started", "failed"]
    log = worker.child.log.read_text()
    assert 1 <= log.count('"model_server.lost"') <= 2  # the second is found by the next health check
    assert "died (signal 9 (SIGKILL, often because memory ran out))" in log


def test_a_model_server_that_is_killed_in_each_start_does_not_end_its_worker(
    ledger: Ledger, start_worker: StartWorker
) -> None:
    """Fails without ServerKilledError: after three starts the worker would end, and `up` would not restart it."""
    env = {**QUICK, "APPLEJACK_SERVE": SCRIPTED_MODEL, "TEST_KILLED_BY": PROBE}
    worker = start_worker("generate", "w", env=env, app="tests.support.planted.unhurried", concurrency=1, wait=False)
    until(lambda: worker.child.log.read_text().count('"model_server.failed"') > FIRST_STARTS, "killed in four starts")
    until(lambda: "signal 9 (SIGKILL, often because memory ran out)" in paused(ledger, worker.name), "told why")
    assert worker.child.exit_code is None
