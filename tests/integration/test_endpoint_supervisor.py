"""No black holes: a worker whose endpoint or disk cannot serve stops taking jobs, says why, and returns by itself."""

import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery
from pydantic import SecretStr

from config.broker import make_app
from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.process import free_port
from config.records import DEFAULT_MODEL, JobState, JsonObject, Limits, Spec
from config.settings import Settings
from config.topology import QUEUE_GENERATE, run_key
from producer.run_status import worker_rows
from producer.stack.redis_server import short_lived_client
from tests.integration.conftest import StartWorker
from tests.support.fleet import (
    PROBE,
    QUICK,
    RUN,
    all_terminal,
    answering,
    paused,
    prompts,
    question,
    submit,
    told,
    until,
)
from tests.support.prefetch import Prefetch
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, drops, fails, says, stalls
from tests.support.workers import SCRIPTED_MODEL
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.endpoint import model_server
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet.leases import Leases
from worker.generate.job import teacher_of
from worker.job_runner import JobRunner

pytestmark = pytest.mark.timeout(150)


def consumes(app: Celery, worker: str) -> bool | None:
    """Whether a worker consumes the queue of jobs, as Flower asks for it; None when it does not answer."""
    seen = app.control.inspect(destination=[worker], timeout=2).active_queues() or {}
    return QUEUE_GENERATE in [queue["name"] for queue in seen[worker]] if worker in seen else None


def test_an_endpoint_that_is_down_pauses_its_worker_and_costs_nothing(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `outage` in JobRunner._release_for_retry (a delivery is spent) and without Worker._pause (it still
    consumes)."""
    port = free_port()
    jobs = submit(ledger, redis_url, prompts(4))
    start_worker("generate", "w", env={**QUICK, "APPLEJACK_ENDPOINT": f"http://127.0.0.1:{port}/v1"})
    reason = until(lambda: paused(ledger, "w@test"), "paused in the heartbeat")
    assert "cannot be reached" in reason
    assert [line["paused"] for line in worker_rows(ledger.fleet.workers())] == [reason]  # what `status` shows
    app = make_app(Settings(redis_url=redis_url))
    until(lambda: consumes(app, "w@test") is False, "consumer cancelled")
    until(lambda: ledger.jobs.counts(RUN)[JobState.QUEUED] == 4, "all handed back")
    time.sleep(2)  # what it holds and what the reconciler sends goes round, and costs nothing
    assert ledger.jobs.counts(RUN)[JobState.QUEUED] == 4
    with ScriptedEndpoint(answering(), port=port):
        assert all_terminal(ledger)[JobState.GENERATED] == 4
        until(lambda: consumes(app, "w@test"), "consumes again")
        until(lambda: paused(ledger, "w@test") == "", "resumed in the heartbeat")
    claims = [told(ledger, job) for job in jobs]
    assert sum(events.count("handed_back") for events in claims) <= 2, claims  # in flight when it was found out
    assert {deliveries(redis_url, job) for job in jobs} == {1}


def deliveries(url: SecretStr, job_id: str) -> int:
    """What counts towards the delivery limit of a job."""
    with short_lived_client(url, seconds=5) as client:
        return int(client.hget(run_key(RUN, f"job:{job_id}"), "deliveries"))


def sick(fault: Reply, *, probe_too: bool) -> Callable[[JsonObject], Reply]:
    return lambda body: fault if probe_too or question(body) != PROBE else says("hello")


@pytest.mark.parametrize(
    ("fault", "probe_too"),
    [
        (fails(500, "out of memory"), True),  # the server answers, but never with tokens
        (drops(), False),  # answers one token and dies on every real request: the probe alone would send it more
    ],
    ids=["errors", "drops-but-answers-the-probe"],
)
def test_of_two_workers_the_one_with_a_sick_endpoint_eats_nothing(
    fault: Reply, probe_too: bool, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """The second row fails without CircuitBreaker.record_failure; the first has two guards,
    EndpointSupervisor.confirm_outage and EndpointSupervisor._check_busy_endpoint."""
    with ScriptedEndpoint(sick(fault, probe_too=probe_too)) as bad, ScriptedEndpoint(answering(0.4)) as good:
        for name, endpoint in (("bad", bad), ("good", good)):
            env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
            start_worker("generate", name, env=env, wait=False)
        until(lambda: len(ledger.fleet.workers()) == 2, "both workers")
        jobs = submit(ledger, redis_url, prompts(24), delivery_limit=8)
        counts = all_terminal(ledger)
        assert paused(ledger, "bad@test")
    assert (counts[JobState.GENERATED], counts[JobState.FAILED]) == (24, 0)
    eaten = [event for job in jobs for event in ledger.jobs.view(RUN, job).history if event.event == "handed_back"]
    assert {event.worker for event in eaten} == {"bad@test"}
    assert len(eaten) <= 6  # two in flight, up to three strikes, and the two that were in flight then


def test_a_prompt_that_breaks_healthy_endpoints_is_tried_to_the_limit_and_recorded(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `claim.deliveries >= run.spec.delivery_limit` in JobRunner._release_for_retry: it goes round for
    ever."""
    poison = "question 3"

    def reply(body: JsonObject) -> Reply:
        return fails(500, "no such layout") if question(body) == poison else answering()(body)

    with ScriptedEndpoint(reply) as endpoint:
        start_worker("generate", "w", env={**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}, wait=False)
        jobs = submit(ledger, redis_url, prompts(5), delivery_limit=2)
        counts = all_terminal(ledger)
        assert paused(ledger, "w@test") == ""
    assert (counts[JobState.GENERATED], counts[JobState.FAILED]) == (4, 1)
    seen = ledger.jobs.view(RUN, jobs[2])
    assert seen.failure is FailureKind.ENDPOINT_ERROR
    assert [event.event for event in seen.history] == ["started", "handed_back", "started", "failed"]
    assert "no such layout" in seen.history[1].detail


def test_an_endpoint_that_hangs_is_found_by_its_probe_and_charged_to_no_job(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without EndpointSupervisor._check_busy_endpoint: HTTP is healthy, and the worker keeps taking jobs that
    run into their own timeout."""
    hangs = threading.Event()

    def reply(body: JsonObject) -> Reply:
        return Reply(text="answer", stall=60 if hangs.is_set() else 0.5 * (question(body) != PROBE))

    with ScriptedEndpoint(reply) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_HEALTH_CHECK_TIMEOUT": "3"}
        start_worker("generate", "w", env=env)
        jobs = submit(ledger, redis_url, prompts(12), limits=Limits(seconds=12, request_seconds=40))
        until(lambda: ledger.jobs.counts(RUN)[JobState.GENERATED] >= 3, "under way")
        hangs.set()
        began = time.monotonic()
        reason = until(lambda: paused(ledger, "w@test"), "found", seconds=10)
        print(f"a hanging endpoint was found after {time.monotonic() - began:.1f} s")
        assert "did not respond" in reason
        until(lambda: ledger.jobs.counts(RUN)[JobState.RUNNING] == 0, "those that waited are handed back", seconds=30)
        hangs.clear()
        assert all_terminal(ledger)[JobState.GENERATED] == 12
    assert {deliveries(redis_url, job) for job in jobs} == {1}


def test_a_job_delivered_while_the_circuit_breaker_is_open_does_not_begin(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without the circuit breaker in JobRunner.run: the job loops until the pause arrives."""
    chosen = Settings(dir=tmp_path)
    (job,) = ledger.create(Spec(run_id=RUN, dataset_format="seed-text", train=False), prompts(1)).job_ids
    supervisor = EndpointSupervisor(chosen, pause=lambda _: None, resume=lambda: None)
    supervisor.trip("no endpoint")
    jobs = JobRunner(
        ledger, Leases(ledger.fleet, lease_seconds=9), chosen, "w", ConcurrencyLimiter(most=1), supervisor=supervisor
    )
    assert str(jobs.run(RUN, job)) == "dropped: no endpoint"
    assert told(ledger, job) == []
    assert ledger.jobs.counts(RUN)[JobState.QUEUED] == 1


@pytest.mark.parametrize(("slower", "state"), [(True, JobState.QUEUED), (False, JobState.FAILED)])
def test_a_job_whose_time_is_over_has_another_try_where_its_server_became_worse(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slower: bool, state: JobState
) -> None:
    """Fails without degraded_since in JobRunner._release_for_retry; with no cut the job has itself to blame.

    And without `closing` there: a heartbeat behind the release takes the lease for lost.
    """
    limiter, leases, real = ConcurrencyLimiter(most=4), Leases(ledger.fleet, lease_seconds=9), ledger.jobs.release
    lost: list[bool] = []

    def release(claim: Claim, *, why: str, consume_attempt: bool) -> bool:
        released = real(claim, why=why, consume_attempt=consume_attempt)
        leases.renew()
        lost.extend(lease.lost.is_set() for lease in leases.all())
        return released

    monkeypatch.setattr(ledger.jobs, "release", release)

    def reply(_: JsonObject) -> Reply:
        if slower:
            limiter.job(60)()(0, "error")
            limiter.adjust(Prefetch(2), running=1)
        return stalls(5)

    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False, limits=Limits(seconds=1))
    (job,) = ledger.create(spec, prompts(1)).job_ids
    with ScriptedEndpoint(reply) as endpoint:
        chosen = Settings(dir=tmp_path, endpoint=endpoint.base_url)
        supervisor = EndpointSupervisor(chosen, pause=lambda _: None, resume=lambda: None)
        JobRunner(ledger, leases, chosen, "w", limiter, supervisor=supervisor).run(RUN, job)
    assert ledger.jobs.counts(RUN)[state] == 1
    assert lost == ([False] if slower else [])


def test_a_full_disk_closes_the_gate_and_room_opens_it(tmp_path: Path) -> None:
    """Fails without EndpointSupervisor._disk in EndpointSupervisor._tick."""
    said: list[str] = []
    with ScriptedEndpoint(answering()) as endpoint:
        chosen = Settings(dir=tmp_path, endpoint=endpoint.base_url, health_check_seconds=0.05)
        enough = shutil.disk_usage(tmp_path).free // 2
        supervisor = EndpointSupervisor(
            chosen, pause=said.append, resume=lambda: said.append("resumed"), min_free_bytes=1 << 60
        )
        supervisor.start()
        until(lambda: said, "paused", seconds=5)
        time.sleep(0.3)
        assert "MB free in" in supervisor.circuit_breaker.reason
        assert len(said) == 1  # said once, although it is looked at again and again
        supervisor.min_free_bytes = enough
        until(lambda: said[1:], "resumed", seconds=5)
        supervisor.stop()
    assert said[1:] == ["resumed"]
    assert supervisor.circuit_breaker.reason == ""


def test_a_pause_that_was_not_heard_is_said_again() -> None:
    """Fails without Consumer.reconcile: a broadcast lost with its connection leaves a worker
    idle, or eating, for ever."""
    consuming = True
    said: list[str] = []

    def resume() -> None:
        said.append("resume")

    supervisor = EndpointSupervisor(
        Settings(health_check_seconds=0.05),
        pause=said.append,
        resume=resume,
        consuming=lambda: consuming,
    )
    supervisor.trip("lost", model=None)
    supervisor.consumer.reconcile()
    assert said == ["lost", "lost"]
    consuming = False
    supervisor.consumer.reconcile()
    assert said == ["lost", "lost"]
    supervisor.circuit_breaker.reset()
    supervisor.consumer.reconcile()
    assert said == ["lost", "lost", "resume"]


def test_a_worker_that_waits_for_its_own_server_takes_no_job_meanwhile(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without cancel_task_queue in Worker.start: it takes and drops, and those that could work get nothing."""
    env = {**QUICK, "APPLEJACK_SERVE": SCRIPTED_MODEL, "TEST_LOAD_SECONDS": "4", "TEST_JOB_SECONDS": "0"}
    submit(ledger, redis_url, prompts(8))
    worker = start_worker("generate", "w", env=env, app="tests.support.planted.unhurried", wait=False)
    assert all_terminal(ledger)[JobState.GENERATED] == 8
    log = worker.child.log.read_text()
    assert "model_server.ready" in log
    assert "job.dropped" not in log


def test_a_pause_that_was_not_heard_is_said_again_while_a_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without Consumer.reconciled: loading a model takes minutes, and all the while the
    worker would eat."""
    monkeypatch.setattr(model_server, "CHILD", "tests.support.planted.scripted_server")
    monkeypatch.setenv("TEST_LOAD_SECONDS", "2")
    said: list[str] = []
    settings = Settings(dir=tmp_path, serve=SCRIPTED_MODEL, health_check_seconds=0.2)
    supervisor = EndpointSupervisor(
        settings, pause=said.append, resume=lambda: said.append("resume"), consuming=lambda: True
    )
    supervisor.start()
    until(lambda: "resume" in said, "the server speaks", seconds=30)
    supervisor.stop()
    assert said.index("resume") > 4, said  # one resume would come from the circuit breaker itself


def test_a_wedged_server_is_found_where_another_worker_shares_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without EndpointSupervisor.worker in the name of the log: what the other server writes would pass for
    progress."""
    monkeypatch.setattr(model_server, "CHILD", "tests.support.planted.scripted_server")
    settings = Settings(dir=tmp_path, serve=SCRIPTED_MODEL, health_check_seconds=0.2, health_check_timeout=1)
    said: dict[str, list[str]] = {"one": [], "two": []}
    one, two = (
        EndpointSupervisor(
            settings.model_copy(update={"lock_dir": tmp_path / w}),  # as on two devices of one host
            pause=say.append, resume=lambda: None, worker=w,
        )
        for w, say in said.items()
    )  # fmt: skip
    try:
        one.start()
        two.start()
        until(lambda: not one.circuit_breaker.reason and not two.circuit_breaker.reason, "both speak", seconds=30)
        assert one.served is not None
        assert one.served.server is not None
        assert one.served.server.child is not None
        one.served.server.child.send(signal.SIGSTOP)
        until(lambda: any("is wedged" in reason for reason in said["one"]), "found", seconds=15)
    finally:
        one.stop()
        two.stop()


@pytest.mark.parametrize(("named", "requested"), [("org/teacher", DEFAULT_MODEL), ("org/other", "org/other")])
def test_the_loaded_model_of_another_worker_s_server_is_not_loaded_again(
    tmp_path: Path, named: str, requested: str
) -> None:
    """Fails without `loaded_model` in health_check and in teacher_of: by its id mlx_lm loads a model a second time."""
    with ScriptedEndpoint(answering()) as endpoint:
        chosen = Settings(dir=tmp_path, endpoint=endpoint.base_url, endpoint_serves="org/teacher")
        supervisor = EndpointSupervisor(chosen, pause=lambda _: None, resume=lambda: None)
        supervisor.health_check(named)
        assert [body["model"] for body in endpoint.requests] == [requested]
    assert teacher_of(Spec(run_id=RUN, model=named), chosen).name == requested
