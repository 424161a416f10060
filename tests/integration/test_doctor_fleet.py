"""Doctor checks of a fleet in a real Redis: each fault is planted once; a healthy fleet has no finding."""

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


def heartbeat(**changes: object) -> JsonObject:
    """Heartbeat fields of a healthy worker, with changes."""
    healthy: dict[str, object] = {"queues": list(QUEUES), "paused": None, "version": version(), "clock": time.time()}
    return healthy | changes  # type: ignore[return-value]


def found(fleet: FleetDoctor) -> list[str]:
    return [finding.name for finding in run_checks(fleet.checks()).findings]


def test_a_healthy_fleet_has_no_finding(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="a")])
    client.lpush("generate", "message")
    ledger.fleet.heartbeat("one@mac", heartbeat())
    report = run_checks(fleet.checks())
    assert report.findings == ()
    assert report.not_checked == ()


def test_messages_in_a_queue_without_a_worker_are_an_error(
    fleet: FleetDoctor, client: redis.Redis, ledger: Ledger
) -> None:
    client.lpush("train", "message", "message")
    ledger.fleet.heartbeat("one@mac", heartbeat(queues=["generate", "curate"]))
    (finding,) = run_checks(fleet.checks()).findings
    assert (finding.name, finding.severity) == ("queue_unread", "error")
    assert "2 messages" in finding.message
    assert "applejack worker train" in finding.remedy


def test_a_paused_worker_does_not_count_as_a_consumer(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("generate", "message")
    ledger.fleet.heartbeat("one@mac", heartbeat(paused="the endpoint does not answer"))
    findings = run_checks(fleet.checks()).findings
    assert [finding.name for finding in findings] == ["queue_unread", "worker_paused"]  # the error first
    assert "the endpoint does not answer" in findings[1].message


def test_a_silent_worker_does_not_count_as_a_consumer(fleet: FleetDoctor, client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("generate", "message")
    ledger.fleet.heartbeat("one@mac", heartbeat())
    client.zadd(WORKERS, {"one@mac": ledger.fleet.now() - SILENCE - 5})
    assert found(fleet) == ["queue_unread", "worker_silent"]


@pytest.mark.parametrize("other", ["0.0.1", None])  # None: a worker too old to send its version
def test_a_worker_of_another_version_is_found(fleet: FleetDoctor, ledger: Ledger, other: str | None) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(version=other))
    assert found(fleet) == ["worker_version"]


@pytest.mark.parametrize(("skew", "findings"), [(90.0, ["clock_skew"]), (-90.0, ["clock_skew"]), (20.0, [])])
def test_a_worker_with_clock_skew_is_found(
    fleet: FleetDoctor, ledger: Ledger, skew: float, findings: list[str]
) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(clock=time.time() + skew))
    assert found(fleet) == findings


def test_a_run_with_pending_jobs_and_no_generate_worker_is_found(fleet: FleetDoctor, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a"), Prompt(prompt="b")])
    ledger.fleet.heartbeat("one@mac", heartbeat(queues=["curate", "train"]))
    (finding,) = run_checks(fleet.checks()).findings
    assert finding.name == "run_stranded"
    assert "'night': 2 jobs" in finding.message


def test_a_run_with_a_pending_stage_and_no_worker_is_found(fleet: FleetDoctor, ledger: Ledger) -> None:
    created = ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a")])
    ledger.jobs.begin("night", created.job_ids[0], worker="w", lease_seconds=20, delivery_limit=3)
    trajectory = Trajectory(run_id="night", job_id=created.job_ids[0], prompt="a", outcome="completed")
    assert ledger.jobs.finish(trajectory, worker="w") == "last"
    ledger.fleet.heartbeat("one@mac", heartbeat(queues=["generate"]))
    (finding,) = run_checks(fleet.checks()).findings
    assert finding.name == "run_stranded"
    assert "curate" in finding.message


def test_a_real_worker_sends_the_fields_that_doctor_reads(
    fleet: FleetDoctor, ledger: Ledger, start_worker: StartWorker
) -> None:
    start_worker("curate,train", "one")
    deadline = time.monotonic() + 30
    while not ledger.fleet.workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found(fleet) == []
    assert isinstance(ledger.fleet.workers()[0].fields["clock"], float)
