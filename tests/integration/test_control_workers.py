"""Cancel, pause and resume runs and workers: real workers obey within seconds, and lose and double nothing."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.process import session_members
from config.records import JobState, JsonObject, Spec, StageState, WorkerControl
from config.settings import Settings
from config.topology import QUEUE_GENERATE, Stage
from producer import control, enqueue
from producer.resubmit import JobFilter, plan, resubmit
from tests.integration.conftest import StartWorker
from tests.integration.test_shutdown import owe_training
from tests.support.fleet import (
    QUICK,
    RUN,
    all_terminal,
    answering,
    jobs_requests,
    paused,
    prompts,
    question,
    submit,
    told,
    until,
    worker_view,
)
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from tests.support.workers import WorkerProcess
from worker.train.checkpoints import checkpoints, folder_of

WITHIN = 5.0  # seconds
ONE = {"APPLEJACK_CONCURRENCY": "1"}

pytestmark = pytest.mark.timeout(300)


def seconds_until(look: Callable[[], object], what: str) -> float:
    began = time.monotonic()
    until(look, what, seconds=4 * WITHIN)
    return time.monotonic() - began


def holds(ledger: Ledger, worker: WorkerProcess) -> object:
    view = worker_view(ledger, worker.name)
    return view.fields["holds"] if view else None


def test_a_cancelled_job_in_flight_stops_and_its_slot_is_free(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `cancelled` in run_rollout: the worker would wait 40 s for an answer that nobody wants."""

    def slow(body: JsonObject) -> Reply:
        return Reply(text="answer", stall=40.0 if question(body).startswith("question") else 0.0)

    with ScriptedEndpoint(slow) as endpoint:
        env = {**QUICK, **ONE, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker("generate", "w", env=env)
        first, _ = submit(ledger, redis_url, prompts(2))
        until(lambda: jobs_requests(endpoint), "in flight", seconds=120)
        assert control.cancel(ledger, RUN) == {"run_id": RUN, "state": "cancelled", "cancelled": 2}
        other = Spec(run_id="other", dataset_format="seed-text", train=False)
        enqueue.submit(ledger, Settings(redis_url=redis_url), other, [prompts(1)[0].model_copy(update={"prompt": "q"})])
        took = seconds_until(lambda: ledger.jobs.counts("other")[JobState.GENERATED], "the slot is free")
        print(f"a job in flight was stopped and its slot used again after {took:.1f} s")
        assert took < WITHIN
        assert (told(ledger, first), ledger.jobs.trajectory(RUN, first, 1)) == (["started", "cancelled"], None)
        assert '"because": "cancelled in flight"' in worker.child.log.read_text()
        assert not paused(ledger, worker.name)  # no outage was found in it
        endpoint.script = answering()
        assert control.resume(ledger, RUN)["queued"] == 2
        assert all_terminal(ledger, seconds=120)[JobState.GENERATED] == 2
    assert told(ledger, first) == ["started", "cancelled", "started", "generated"]


def test_a_paused_run_ends_what_is_in_flight_and_goes_on_whole(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `control` in begin.lua (jobs start) and without the reconciler (the dropped messages are gone)."""
    with ScriptedEndpoint(answering(1.5)) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        for name in ("one", "two"):
            start_worker("generate", name, env={**env, **ONE}, concurrency=1, wait=False)
        until(lambda: len(ledger.fleet.workers()) == 2, "both workers")
        jobs = submit(ledger, redis_url, prompts(8))
        until(lambda: len(jobs_requests(endpoint)) == 2, "two in flight")
        assert control.pause(ledger, RUN)["state"] == "paused"
        until(lambda: ledger.jobs.counts(RUN)[JobState.GENERATED] == 2, "what was in flight is stored")
        time.sleep(3)
        assert ledger.jobs.counts(RUN)[JobState.QUEUED] == 6
        with ledger_client(redis_url.get_secret_value()) as client:
            until(lambda: not client.llen(QUEUE_GENERATE), "its messages were dropped")
        endpoint.script = answering(0.2)
        control.resume(ledger, RUN)
        took = seconds_until(lambda: ledger.jobs.counts(RUN)[JobState.GENERATED] > 2, "it goes on")
        print(f"the first job after the resume was generated after {took:.1f} s")
        assert took < 2 * WITHIN
        assert all_terminal(ledger, seconds=120)[JobState.GENERATED] == 8
    assert [told(ledger, job) for job in jobs] == [["started", "generated"]] * 8
    assert Counter(jobs_requests(endpoint)).most_common(1)[0][1] == 1


@pytest.mark.parametrize("chord_limit", [1000, 3], ids=["as a chord", "above its limit"])
def test_a_run_whose_messages_are_gone_goes_on_after_resume_and_resubmit(
    chord_limit: int, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueue, "CHORD_LIMIT", chord_limit)
    settings = Settings(redis_url=redis_url)
    with ScriptedEndpoint(answering()) as endpoint, ledger_client(redis_url.get_secret_value()) as client:
        submit(ledger, redis_url, prompts(5))
        control.cancel(ledger, RUN)
        client.delete(QUEUE_GENERATE)
        control.resume(ledger, RUN)
        start_worker("generate,curate", "w", env={**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}, wait=False)
        ended = (StageState.DONE, StageState.FAILED)
        until(lambda: ledger.stages.view(RUN, Stage.CURATE).state in ended, "generated and curated")
        assert ledger.jobs.counts(RUN)[JobState.GENERATED] == 5
        ledger.fleet.set_control("w@test", WorkerControl.PAUSED)
        until(lambda: paused(ledger, "w@test"), "paused")
        resubmit(ledger, settings, plan(ledger, RUN, JobFilter(), everything=True), train=False)
        client.delete(QUEUE_GENERATE)
        ledger.fleet.set_control("w@test", WorkerControl.GO)
        assert all_terminal(ledger, seconds=120)[JobState.GENERATED] == 5
        until(lambda: ledger.stages.view(RUN, Stage.CURATE).state in ended, "curated again")
    assert ledger.run(RUN).version == 2


def test_a_paused_worker_ends_its_work_takes_no_other_and_stays_paused_after_a_restart(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    with ScriptedEndpoint(answering(1.5)) as endpoint:
        env = {**QUICK, **ONE, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker("generate", "w", env=env, concurrency=1)
        jobs = submit(ledger, redis_url, prompts(4))
        until(lambda: jobs_requests(endpoint), "in flight", seconds=120)
        assert control.control_worker(ledger, "w", WorkerControl.PAUSED) == {"worker": "w@test", "state": "paused"}
        took = seconds_until(lambda: paused(ledger, worker.name), "it says so")
        assert took < WITHIN
        assert "`applejack worker resume w@test`" in paused(ledger, worker.name)
        until(lambda: holds(ledger, worker) == 0, "its work has ended")
        generated = ledger.jobs.counts(RUN)[JobState.GENERATED]
        time.sleep(3)
        assert ledger.jobs.counts(RUN)[JobState.GENERATED] == generated < 4
        assert all(told(ledger, job) in ([], ["started", "generated"]) for job in jobs)
        assert worker.stop() == 0
        worker = start_worker("generate", "w", env=env, concurrency=1)
        until(lambda: paused(ledger, worker.name), "paused still")
        time.sleep(2)
        assert ledger.jobs.counts(RUN)[JobState.GENERATED] == generated
        assert "job.dropped" not in worker.child.log.read_text().rpartition("worker.paused")[2]
        endpoint.script = answering()
        control.control_worker(ledger, "w", WorkerControl.GO)
        assert all_terminal(ledger, seconds=120)[JobState.GENERATED] == 4
        assert not paused(ledger, worker.name)


def test_a_drained_worker_ends_with_its_work_and_waits_when_it_is_started_again(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without Intake._drained: a service manager would start it again and again."""
    with ScriptedEndpoint(answering(2)) as endpoint:
        env = {**QUICK, **ONE, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker("generate", "w", env=env, concurrency=1)
        submit(ledger, redis_url, prompts(3))
        until(lambda: jobs_requests(endpoint), "in flight", seconds=120)
        control.control_worker(ledger, "w", WorkerControl.DRAINING)
        took = seconds_until(lambda: worker.child.exit_code is not None, "it ended")
        assert (worker.child.exit_code, ledger.jobs.counts(RUN)[JobState.QUEUED]) == (0, 2)
        assert took < 2 + 4 * WITHIN  # a shutdown joins its threads, on two busy cores
        worker = start_worker("generate", "w", env=env, concurrency=1)
        assert "drained by a person" in until(lambda: paused(ledger, worker.name), "it waits")
        time.sleep(2)
        assert (worker.child.exit_code, ledger.jobs.counts(RUN)[JobState.QUEUED]) == (None, 2)
        control.control_worker(ledger, "w", WorkerControl.GO)
        endpoint.script = answering()
        assert all_terminal(ledger, seconds=120)[JobState.GENERATED] == 3


RECIPE: JsonObject = {
    "iters": 60, "batch_size": 2, "steps_per_report": 1, "save_every": 5, "steps_per_eval": 60,
    "grad_checkpoint": False,
}  # fmt: skip


@pytest.mark.timeout(900)
def test_a_cancelled_training_stops_and_ends_with_the_adapter_that_it_would_have_had(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, tmp_path: Path
) -> None:
    """And the worker is paused while it trains, which ends the training no sooner."""
    student, dataset = make_tiny_student(tmp_path / "student"), make_training_set(tmp_path / "dataset")
    spec = Spec(run_id=RUN, student=str(student), dataset_format="turns", evaluate=False, lora=RECIPE)
    owe_training(ledger, spec, dataset)
    worker = start_worker("train", "w", env={**QUICK, "TMPDIR": str(tmp_path)}, concurrency=1)
    until(lambda: len(ledger.stages.progress(RUN, Stage.TRAIN)) > 8, "training", seconds=240)
    children = [pid for pid in session_members(worker.child.process.pid) if pid != worker.child.process.pid]
    assert control.cancel(ledger, RUN)["state"] == "cancelled"
    took = seconds_until(lambda: holds(ledger, worker) == 0, "stopped")
    print(f"a training was stopped after {took:.1f} s")
    assert (took < WITHIN, bool(children)) == (True, True)
    seen = ledger.stages.view(RUN, Stage.TRAIN)
    assert (seen.state, seen.error) == (StageState.READY, "")
    assert "stage.stopped" in worker.child.log.read_text()
    reached = checkpoints(folder_of(tmp_path / "runs" / RUN / "adapter-v1"))[-1].iteration
    assert 5 <= reached < 60
    control.control_worker(ledger, "w", WorkerControl.PAUSED)
    until(lambda: paused(ledger, worker.name), "paused")
    control.resume(ledger, RUN)
    time.sleep(3)
    assert ledger.stages.view(RUN, Stage.TRAIN).state is StageState.READY  # its only worker is paused
    control.control_worker(ledger, "w", WorkerControl.GO)
    until(lambda: ledger.stages.view(RUN, Stage.TRAIN).state is StageState.RUNNING, "training again", seconds=240)
    control.control_worker(ledger, "w", WorkerControl.PAUSED)
    until(lambda: ledger.stages.view(RUN, Stage.TRAIN).state is StageState.DONE, "trained", seconds=240)
    assert paused(ledger, worker.name)
    calm = Spec(run_id="calm", student=str(student), dataset_format="turns", evaluate=False, lora=RECIPE)
    owe_training(ledger, calm, dataset, run_id="calm")
    control.control_worker(ledger, "w", WorkerControl.GO)
    until(lambda: ledger.stages.view("calm", Stage.TRAIN).state is StageState.DONE, "trained in one go", seconds=240)
    name = "adapters.safetensors"
    assert ledger.files.hashes(RUN, "adapter")[name] == ledger.files.hashes("calm", "adapter")[name]
