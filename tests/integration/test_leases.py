"""A dead worker's jobs run elsewhere soon, a sleeping one overwrites nothing, and a job that kills is stopped."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.broker import make_app
from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import Claim
from config.ledger.store import ledger_client
from config.records import JobState, JsonObject, Spec, StageState
from config.settings import Settings
from config.topology import GENERATE, QUEUE_GENERATE, Stage
from tests.integration.conftest import StartWorker
from tests.support.fleet import (
    LEASE,
    PROBE,
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
    worker_view,
)
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, says
from tests.support.workers import WorkerProcess
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.fleet import broker_messages
from worker.fleet.heartbeat import Heartbeat
from worker.fleet.leases import Leases
from worker.fleet.reconciler import Reconciler
from worker.fleet.shutdown import GracefulShutdown
from worker.job_runner import JobRunner
from worker.stage_runner import StageRunner

FOUND_SECONDS = LEASE + 6  # a lease, the election of another reconciler (5 s), a beat

pytestmark = pytest.mark.timeout(150)


def test_a_killed_workers_job_runs_elsewhere_within_its_lease_and_a_few_seconds(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without Reconciler.reap in Heartbeat.beat, and without Leases.renew the job starts twice on living
    workers."""
    asked: list[str] = []

    def reply(body: JsonObject) -> Reply:
        asked.append(question(body))
        if asked[-1] == PROBE:
            return says("hello")
        return Reply(text="answer", stall=40 if asked[-1] == "question 1" and asked.count("question 1") == 1 else 2)

    with ScriptedEndpoint(reply) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        both = [start_worker("generate", name, env=env, concurrency=1, wait=False) for name in ("one", "two")]
        until(lambda: len(ledger.fleet.workers()) == 2, "both workers")
        first, *others = submit(ledger, redis_url, prompts(4))
        until(lambda: "question 1" in asked, "the job began")
        holder = ledger.jobs.view(RUN, first).worker
        time.sleep(LEASE + 1)  # longer than a lease: it is still his, because he renews it
        assert told(ledger, first) == ["started"]
        next(worker for worker in both if worker.name == holder).kill()
        killed = time.monotonic()
        until(lambda: told(ledger, first).count("started") == 2, "started elsewhere", seconds=30)
        took = time.monotonic() - killed
        counts = all_terminal(ledger)
    print(f"a killed worker's job started elsewhere after {took:.1f} s, lease {LEASE:g} s")
    assert took < FOUND_SECONDS
    assert counts[JobState.GENERATED] == 4
    assert told(ledger, first) == ["started", "lost", "started", "generated"]
    assert all(told(ledger, job) == ["started", "generated"] for job in others)


def test_a_worker_that_slept_past_its_lease_overwrites_nothing(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without the EXISTS in config/ledger/lua/finish.lua."""
    answers = iter([Reply(text="of the sleeper", stall=5), says("of the heir"), says("one too many")])

    def reply(body: JsonObject) -> Reply:
        return says("hello") if question(body) == PROBE else next(answers)

    with ScriptedEndpoint(reply) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        sleeper = start_worker("generate", "sleeper", env=env)
        (job,) = submit(ledger, redis_url, prompts(1))
        until(lambda: jobs_requests(endpoint), "the job began")
        sleeper.suspend()
        start_worker("generate", "heir", env=env, wait=False)
        assert all_terminal(ledger)[JobState.GENERATED] == 1
        sleeper.resume()
        until(lambda: '"stored": "already"' in sleeper.child.log.read_text(), "the sleeper finished too", seconds=30)
    trajectory = ledger.jobs.trajectory(RUN, job, 1)
    assert trajectory is not None
    assert trajectory.answer == "of the heir"
    assert trajectory.provenance is not None
    assert trajectory.provenance.worker == "heir@test"
    assert ledger.jobs.view(RUN, job).worker == "heir@test"
    assert ledger.counters(RUN)[1] == {"heir@test|generated": 1}


def test_work_is_told_that_another_worker_has_it_now(ledger: Ledger) -> None:
    """Fails without `lost.set()` in Leases.renew: a training would go on beside its heir's for hours."""
    brief = 0.2  # seconds
    (job,) = ledger.create(Spec(run_id=RUN, dataset_format="seed-text", train=False), prompts(1)).job_ids

    def begin(worker: str) -> Claim | str:
        return ledger.jobs.begin(RUN, job, worker=worker, lease_seconds=brief, delivery_limit=4)

    claim = begin("sleeper")
    assert isinstance(claim, Claim)
    leases = Leases(ledger.fleet, lease_seconds=brief)
    with leases.hold(LeaseRef(RUN, job, claim.token), lambda _: True) as lease:
        leases.renew()
        assert not lease.cancelled()
        until(lambda: isinstance(begin("heir"), Claim), "lapsed")
        leases.renew()
        assert lease.lost.is_set()
        assert lease.cancelled()


def test_work_that_this_worker_ends_is_not_lost(
    ledger: Ledger, redis_url: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `closing`: a heartbeat between the ledger's script and the end of `hold` found no lease."""
    settings = Settings(redis_url=redis_url, dir=tmp_path)
    leases = Leases(ledger.fleet, lease_seconds=9)
    beats: list[str] = []

    def with_heartbeat_behind(part: object, name: str) -> None:
        real = getattr(part, name)

        def call(*args: object, **named: object) -> object:
            reply = real(*args, **named)
            beats.append(name)
            leases.renew()  # as the heartbeat's thread does at this moment
            assert not any(lease.cancelled() for lease in leases.all())
            return reply

        monkeypatch.setattr(part, name, call)

    for name in ("finish", "release"):
        with_heartbeat_behind(ledger.jobs, name)
    with_heartbeat_behind(ledger.stages, "finish")
    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False, teacher="scripted")
    job, other = ledger.create(spec, prompts(2)).job_ids
    with capture_logs() as logged:
        runner = JobRunner(ledger, leases, settings, "w", ConcurrencyLimiter(most=1))
        runner.run(RUN, job)
        claim = ledger.jobs.begin(RUN, other, worker="w", lease_seconds=9, delivery_limit=4)
        assert isinstance(claim, Claim)
        with leases.hold(
            LeaseRef(RUN, other, claim.token), lambda why: ledger.jobs.release(claim, why=why, consume_attempt=False)
        ):
            GracefulShutdown(leases, seconds=0).release_all()
        runner.run(RUN, other)
        StageRunner(ledger, leases, settings, "w").run(RUN, Stage.CURATE)
    assert beats == ["finish", "release", "finish", "finish"]
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == []


def test_a_new_worker_has_no_more_in_hand_than_it_may_run(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without the first ConcurrencyLimiter.adjust in Worker.start: one for each of its threads."""
    with ScriptedEndpoint(answering(6)) as endpoint, ledger_client(redis_url.get_secret_value()) as client:
        submit(ledger, redis_url, prompts(20))
        start_worker("generate", "w", env={"APPLEJACK_ENDPOINT": endpoint.base_url}, concurrency=16, wait=False)
        in_hand = [until(lambda: client.hlen(broker_messages.UNACKED), "the first message")]
        while len(in_hand) < 20:
            time.sleep(0.1)
            in_hand.append(client.hlen(broker_messages.UNACKED))
    assert max(in_hand) == 2, in_hand


def test_what_a_killed_worker_had_in_hand_and_not_begun_is_queued_again(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `silent_seconds` in messages.present: it would wait for kombu's visibility timeout, 15 minutes."""
    with ScriptedEndpoint(answering()) as endpoint, ledger_client(redis_url.get_secret_value()) as client:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        (job,) = ledger.create(Spec(run_id=RUN, dataset_format="seed-text", train=False), prompts(1)).job_ids
        app = make_app(Settings(redis_url=redis_url))  # as Worker._again sends what is to be tried a little later
        app.send_task(GENERATE, args=(RUN, job), queue=QUEUE_GENERATE, ignore_result=True, countdown=300)
        victim = start_worker("generate", "victim", env=env)
        until(lambda: client.hlen(broker_messages.UNACKED), "in hand")
        time.sleep(2 * LEASE)
        assert client.llen(QUEUE_GENERATE) == 0  # a living worker's is not sent again
        victim.kill()
        start_worker("generate", "heir", env=env, wait=False)
        assert all_terminal(ledger, seconds=40)[JobState.GENERATED] == 1
    assert told(ledger, job) == ["started", "generated"]


def dead(worker: WorkerProcess) -> bool:
    return worker.child.exit_code is not None


def test_a_job_that_kills_its_workers_ends_as_worker_lost_with_their_names(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without `exhausted` in JobRunner._generate (and in config/ledger/lua/begin.lua): it kills worker after
    worker."""

    def reply(body: JsonObject) -> Reply:
        if question(body) == "question 2":
            (name,) = [view.name for view in ledger.fleet.workers() if view.silent_seconds < LEASE]
            view = worker_view(ledger, name)
            assert view is not None
            os.kill(int(str(view.fields["pid"])), signal.SIGKILL)
        return says("answer")

    with ScriptedEndpoint(reply) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        jobs = submit(ledger, redis_url, prompts(4), delivery_limit=2)
        worker = start_worker("generate", "w1", env=env, concurrency=1)
        for number in (2, 3):
            until(partial(dead, worker), "killed by its job")
            time.sleep(LEASE)
            worker = start_worker("generate", f"w{number}", env=env, concurrency=1)
        counts = all_terminal(ledger)
        assert worker.child.exit_code is None
    assert (counts[JobState.GENERATED], counts[JobState.FAILED]) == (3, 1)
    seen = ledger.jobs.view(RUN, jobs[1])
    assert seen.failure is FailureKind.WORKER_LOST
    assert [event.worker for event in seen.history if event.event == "lost"] == ["w1@test", "w2@test"]
    trajectory = ledger.jobs.trajectory(RUN, jobs[1], 1)
    assert trajectory is not None
    assert trajectory.failure is not None
    assert "w1@test, w2@test" in trajectory.failure.message


def test_a_worker_killed_between_stored_and_told_starts_curation_once(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without the stages in Reconciler._pending: the chord has lost count and nobody would start the stage."""
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        (job,) = submit(ledger, redis_url, prompts(1))
        victim = start_worker("generate", "victim", env=env, app="tests.support.planted.dies_after_storing", wait=False)
        until(lambda: victim.child.exit_code is not None, "died after storing")
        assert told(ledger, job) == ["started", "generated"]
        start_worker("generate,curate", "heir", env=env, wait=False)
        ended = (StageState.DONE, StageState.FAILED)
        until(lambda: ledger.stages.view(RUN, Stage.CURATE).state in ended, "curated", seconds=40)
        time.sleep(LEASE)
    seen = ledger.stages.view(RUN, Stage.CURATE)
    assert [event.event for event in seen.history].count("started") == 1
    assert len(jobs_requests(endpoint)) == 1


def test_a_worker_says_at_once_that_it_is_there(ledger: Ledger, redis_url: SecretStr) -> None:
    """Fails where Heartbeat waits before its first beat: `status` would say of a new fleet that nobody is alive."""
    leases = Leases(ledger.fleet, lease_seconds=60)  # a beat each two seconds
    reconciler = Reconciler(ledger, ledger_client(redis_url.get_secret_value()), lambda _: None)
    heartbeat = Heartbeat(ledger.fleet, leases, reconciler, worker="w@test", status=dict, before_heartbeat=lambda: None)
    heartbeat.start()
    until(lambda: worker_view(ledger, "w@test"), "its first beat", seconds=1)
    heartbeat.stop()
