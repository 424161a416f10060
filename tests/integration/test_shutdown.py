"""A worker that is asked to stop finishes what is short, hands back the rest, and leaves nothing running."""

import signal
import time
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.process import session_members
from config.records import JobState, JsonObject, Spec, StageState, Trajectory
from config.topology import Stage, run_key
from tests.integration.conftest import StartWorker
from tests.support.fleet import (
    QUICK,
    RUN,
    all_terminal,
    answering,
    jobs_requests,
    prompts,
    question,
    submit,
    told,
    until,
)
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from tests.support.workers import WorkerProcess

DRAIN = 4.0  # seconds
LONG = 40.0  # seconds, far beyond it
ENDLESS: JsonObject = {"iters": 100_000, "batch_size": 2, "steps_per_report": 1, "grad_checkpoint": False}

pytestmark = pytest.mark.timeout(150)


def slow(body: JsonObject) -> Reply:
    """Question 1 is short, question 2 is long, the others are neither."""
    return Reply(text="answer", stall={"question 1": 2.0, "question 2": LONG}.get(question(body), 0.1))


def ended_within(worker: WorkerProcess, seconds: float) -> float:
    started = time.monotonic()
    until(lambda: worker.child.exit_code is not None, "the worker ended", seconds=seconds)
    return time.monotonic() - started


def test_a_warm_shutdown_finishes_the_short_and_hands_back_the_long(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without GracefulShutdown._wait (it waits for the long job) and without GracefulShutdown.release_all (the
    lease has to lapse)."""
    with ScriptedEndpoint(slow) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_DRAIN_SECONDS": str(DRAIN)}
        worker = start_worker("generate", "w", env=env)
        short, long, *others = submit(ledger, redis_url, prompts(4))
        until(lambda: len(jobs_requests(endpoint)) == 2, "both wait for their answers")
        worker.child.send(signal.SIGTERM)
        took = ended_within(worker, DRAIN + 4)
        assert worker.child.exit_code == 0
        assert told(ledger, short) == ["started", "generated"]
        assert told(ledger, long) == ["started", "handed_back"]
        assert [told(ledger, job) for job in others] == [[], []]  # nothing new was begun
        with ledger_client(redis_url.get_secret_value()) as client:
            assert client.hget(run_key(RUN, f"job:{long}"), "deliveries") == b"0"
        endpoint.script = answering()
        start_worker("generate", "heir", env=env, wait=False)
        assert all_terminal(ledger)[JobState.GENERATED] == 4
    print(f"drained in {took:.1f} s of {DRAIN:g} s")


def test_a_second_signal_is_immediate_and_loses_nothing(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `if self._begun` in GracefulShutdown.begin: it would wait for APPLEJACK_DRAIN_SECONDS."""
    with ScriptedEndpoint(answering(LONG)) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker("generate", "w", env=env)
        jobs = submit(ledger, redis_url, prompts(2))
        until(lambda: all(told(ledger, job) == ["started"] for job in jobs), "both began")
        worker.child.send(signal.SIGTERM)
        time.sleep(1)
        assert worker.child.exit_code is None
        worker.child.send(signal.SIGTERM)
        took = ended_within(worker, 5)
        assert {ledger.jobs.view(RUN, job).state for job in jobs} == {JobState.QUEUED}
        endpoint.script = answering()
        start_worker("generate", "heir", env=env, wait=False)
        assert all_terminal(ledger)[JobState.GENERATED] == 2
    print(f"ended {took:.1f} s after the second signal")


def test_a_training_is_handed_back_and_its_child_is_gone(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Fails without `lease.ending` in StageRunner.run: the run would fail because its worker was asked to stop."""
    student = make_tiny_student(tmp_path / "student")
    spec = Spec(run_id=RUN, student=str(student), dataset_format="turns", evaluate=False, lora=ENDLESS)
    owe_training(ledger, spec, make_training_set(tmp_path / "dataset"))
    worker = start_worker("train", "w", env={**QUICK, "TMPDIR": str(tmp_path)}, concurrency=1)
    until(lambda: ledger.stages.progress(RUN, Stage.TRAIN), "training", seconds=90)
    family = [psutil.Process(pid) for pid in session_members(worker.child.process.pid)]
    family += [child for one in family for child in one.children(recursive=True)]
    assert any("mlx" in " ".join(one.cmdline()) or "train" in " ".join(one.cmdline()) for one in family)
    worker.child.send(signal.SIGTERM)
    took = ended_within(worker, 20)
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    seen = ledger.stages.view(RUN, Stage.TRAIN)
    assert seen.state is StageState.READY
    assert [event.event for event in seen.history] == ["started", "handed_back"]
    print(f"a training was handed back in {took:.1f} s")


def owe_training(ledger: Ledger, spec: Spec, dataset: Path, *, run_id: str = RUN) -> None:
    """A run as it stands after curation."""
    (job,) = ledger.create(spec, prompts(1)).job_ids
    ledger.jobs.begin(run_id, job, worker="w", lease_seconds=9, delivery_limit=4)
    ledger.jobs.finish(Trajectory(run_id=run_id, job_id=job, prompt="q", outcome="completed"), worker="w")
    ledger.files.put(run_id, "dataset", dataset)
    claim = ledger.stages.begin(run_id, Stage.CURATE, worker="w", lease_seconds=9)
    assert not isinstance(claim, str)
    assert ledger.stages.finish(claim, result={}) == "next"
