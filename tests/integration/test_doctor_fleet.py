"""The doctor on a fleet in a real Redis: each trap planted once, a sound fleet and a real worker give no finding."""

import time
from collections.abc import Iterator

import pytest
import redis
from pydantic import SecretStr

from config.diagnostics import run_checks
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JsonObject, Prompt, Spec, Trajectory
from config.topology import QUEUES, WORKERS
from config.version import version
from producer.doctor.fleet import FleetDoctor
from tests.integration.conftest import StartWorker

SILENCE = 30.0  # seconds


@pytest.fixture
def client(redis_url: SecretStr) -> Iterator[redis.Redis]:
    with ledger_client(redis_url.get_secret_value()) as client:
        yield client


@pytest.fixture
def fleet(client: redis.Redis) -> FleetDoctor:
    return FleetDoctor(Ledger(client), client, version(), SILENCE)


def says(**changes: object) -> JsonObject:
    """A sound worker's heartbeat, with changes."""
    sound: dict[str, object] = {"queues": list(QUEUES), "paused": None, "version": version(), "clock": time.time()}
    return sound | changes  # type: ignore[return-value]


def found(fleet: FleetDoctor) -> list[str]:
    return [trap.name for trap in run_checks(fleet.checks()).findings]


def test_a_sound_fleet_has_no_finding(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="a")])
    client.lpush("generate", "message")
    ledger.fleet.heartbeat("one@mac", says())
    seen = run_checks(fleet.checks())
    assert seen.findings == ()
    assert seen.not_checked == ()


def test_messages_that_nobody_takes(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("train", "message", "message")
    ledger.fleet.heartbeat("one@mac", says(queues=["generate", "curate"]))
    (trap,) = run_checks(fleet.checks()).findings
    assert (trap.name, trap.severity) == ("queue_unread", "error")
    assert "2 messages" in trap.message
    assert "applejack worker train" in trap.remedy


def test_a_paused_worker_takes_nothing(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("generate", "message")
    ledger.fleet.heartbeat("one@mac", says(paused="the endpoint does not answer"))
    seen = run_checks(fleet.checks()).findings
    assert [trap.name for trap in seen] == ["queue_unread", "worker_paused"]  # the error first
    assert "the endpoint does not answer" in seen[1].message


def test_a_silent_worker_counts_as_none(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("generate", "message")
    ledger.fleet.heartbeat("one@mac", says())
    client.zadd(WORKERS, {"one@mac": ledger.fleet.now() - SILENCE - 5})
    assert found(fleet) == ["queue_unread", "worker_silent"]


@pytest.mark.parametrize("theirs", ["0.0.1", None])  # None: a worker from before it said
def test_a_worker_of_another_version(fleet: FleetDoctor, ledger: Ledger, theirs: str | None) -> None:
    ledger.fleet.heartbeat("one@mac", says(version=theirs))
    assert found(fleet) == ["worker_version"]


@pytest.mark.parametrize(("off", "traps"), [(90.0, ["clock_skew"]), (-90.0, ["clock_skew"]), (20.0, [])])
def test_a_worker_whose_clock_is_off(fleet: FleetDoctor, ledger: Ledger, off: float, traps: list[str]) -> None:
    ledger.fleet.heartbeat("one@mac", says(clock=time.time() + off))
    assert found(fleet) == traps


def test_a_run_with_jobs_and_no_generate_worker(fleet: FleetDoctor, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a"), Prompt(prompt="b")])
    ledger.fleet.heartbeat("one@mac", says(queues=["curate", "train"]))
    (trap,) = run_checks(fleet.checks()).findings
    assert trap.name == "run_stranded"
    assert "'night': 2 jobs" in trap.message


def test_a_run_whose_stage_nobody_would_take(fleet: FleetDoctor, ledger: Ledger) -> None:
    made = ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a")])
    ledger.jobs.begin("night", made.job_ids[0], worker="w", lease_seconds=20, delivery_limit=3)
    done = Trajectory(run_id="night", job_id=made.job_ids[0], prompt="a", outcome="completed")
    assert ledger.jobs.finish(done, worker="w") == "last"
    ledger.fleet.heartbeat("one@mac", says(queues=["generate"]))
    (trap,) = run_checks(fleet.checks()).findings
    assert trap.name == "run_stranded"
    assert "curate" in trap.message


def test_a_real_worker_says_what_the_doctor_asks(fleet: FleetDoctor, ledger: Ledger, start_worker: StartWorker) -> None:
    start_worker("curate,train", "one")
    deadline = time.monotonic() + 30
    while not ledger.fleet.workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found(fleet) == []
    assert isinstance(ledger.fleet.workers()[0].fields["clock"], float)
