"""Doctor checks of a fleet in a real Redis: each fault is planted once; a healthy fleet has no finding."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from pydantic import SecretStr

from config.diagnostics import Check, run_checks
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JsonObject, Prompt, Spec, Trajectory, WorkerControl
from config.topology import QUEUES, WORKERS, run_key
from config.version import version
from producer.doctor.agreement import Agreement
from producer.doctor.fleet import FleetDoctor
from producer.doctor.held import Held
from tests.integration.conftest import StartWorker

SILENCE = 30.0  # seconds
MESSAGE = b'{"body": "", "headers": {}}'


@pytest.fixture
def client(redis_url: SecretStr) -> Iterator[redis.Redis]:
    with ledger_client(redis_url.get_secret_value()) as client:
        yield client


def checks(ledger: Ledger, client: redis.Redis, wait: Callable[[float], object]) -> list[Check]:
    agreement = Agreement(ledger.fleet, version(), SILENCE, wait)
    return [*FleetDoctor(ledger, client, SILENCE).checks(), *agreement.checks(), *Held(ledger, SILENCE).checks()]


@pytest.fixture
def fleet(client: redis.Redis) -> list[Check]:
    return checks(Ledger(client), client, wait=lambda _: None)


def heartbeat(**changes: object) -> JsonObject:
    """Heartbeat fields of a healthy worker, with changes."""
    healthy: dict[str, object] = {"queues": list(QUEUES), "paused": None, "version": version(), "clock": time.time()}
    return healthy | changes  # type: ignore[return-value]


def found(fleet: list[Check]) -> list[str]:
    return [finding.name for finding in run_checks(fleet).findings]


def test_a_healthy_fleet_has_no_finding(fleet: list[Check], client: redis.Redis, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="a")])
    client.lpush("generate", MESSAGE)
    ledger.fleet.heartbeat("one@mac", heartbeat())
    report = run_checks(fleet)
    assert report.findings == ()
    assert report.not_checked == ()


def test_messages_in_a_queue_without_a_worker_are_an_error(
    fleet: list[Check], client: redis.Redis, ledger: Ledger
) -> None:
    client.lpush("train", MESSAGE, MESSAGE)
    ledger.fleet.heartbeat("one@mac", heartbeat(queues=["generate", "curate"]))
    (finding,) = run_checks(fleet).findings
    assert (finding.name, finding.severity) == ("queue_unread", "error")
    assert "2 messages" in finding.message
    assert "applejack worker train" in finding.remedy


def test_a_paused_worker_does_not_count_as_a_consumer(fleet: list[Check], client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("generate", MESSAGE)
    ledger.fleet.heartbeat("one@mac", heartbeat(paused="the endpoint does not answer"))
    findings = run_checks(fleet).findings
    assert [finding.name for finding in findings] == ["queue_unread", "worker_paused"]  # the error first
    assert "the endpoint does not answer" in findings[1].message


def test_a_silent_worker_does_not_count_as_a_consumer(fleet: list[Check], client: redis.Redis, ledger: Ledger) -> None:
    client.lpush("generate", MESSAGE)
    ledger.fleet.heartbeat("one@mac", heartbeat())
    client.zadd(WORKERS, {"one@mac": ledger.fleet.now() - SILENCE - 5})
    assert found(fleet) == ["queue_unread", "worker_silent"]


@pytest.mark.parametrize("other", ["0.0.1", None])  # None: a worker too old to send its version
def test_a_worker_of_another_version_is_found(fleet: list[Check], ledger: Ledger, other: str | None) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(version=other))
    assert found(fleet) == ["worker_version"]


@pytest.mark.parametrize(("skew", "findings"), [(90.0, ["clock_skew"]), (-90.0, ["clock_skew"]), (20.0, [])])
def test_a_worker_with_clock_skew_is_found(
    fleet: list[Check], ledger: Ledger, skew: float, findings: list[str]
) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(clock=time.time() + skew))
    assert found(fleet) == findings


def test_a_run_with_pending_jobs_and_no_generate_worker_is_found(fleet: list[Check], ledger: Ledger) -> None:
    ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a"), Prompt(prompt="b")])
    ledger.fleet.heartbeat("one@mac", heartbeat(queues=["curate", "train"]))
    (finding,) = run_checks(fleet).findings
    assert finding.name == "run_stranded"
    assert "'night': 2 jobs" in finding.message


def test_a_run_with_a_pending_stage_and_no_worker_is_found(fleet: list[Check], ledger: Ledger) -> None:
    created = ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a")])
    ledger.jobs.begin("night", created.job_ids[0], worker="w", lease_seconds=20, delivery_limit=3)
    trajectory = Trajectory(run_id="night", job_id=created.job_ids[0], prompt="a", outcome="completed")
    assert ledger.jobs.finish(trajectory, worker="w") == "last"
    ledger.fleet.heartbeat("one@mac", heartbeat(queues=["generate"]))
    (finding,) = run_checks(fleet).findings
    assert finding.name == "run_stranded"
    assert "curate" in finding.message


def test_a_real_worker_sends_the_fields_that_doctor_reads(
    fleet: list[Check], ledger: Ledger, start_worker: StartWorker
) -> None:
    start_worker("curate,train", "one")
    deadline = time.monotonic() + 30
    while not ledger.fleet.workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found(fleet) == []
    (view,) = ledger.fleet.workers()
    assert isinstance(view.fields["clock"], float)
    assert view.fields["visibility_seconds"] == 900.0
    assert view.fields["device"]["lock_dir"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize(("second", "found_names"), [(900.0, []), (3600.0, ["visibility_differs"])])
def test_different_visibility_timeouts_are_found(
    fleet: list[Check], ledger: Ledger, second: float, found_names: list[str]
) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(visibility_seconds=900.0))
    ledger.fleet.heartbeat("two@mac", heartbeat(visibility_seconds=second))
    assert found(fleet) == found_names


@pytest.mark.parametrize(
    ("machine", "folder", "found_names"),
    [
        ("a", "/run/lock/applejack", []),
        ("a", "/tmp/applejack", ["lock_dirs_differ"]),
        ("b", "/tmp/applejack", []),  # another machine
    ],
)
def test_lock_directories_that_differ_on_one_machine_are_found(
    fleet: list[Check], ledger: Ledger, machine: str, folder: str, found_names: list[str]
) -> None:
    def device(folder: str) -> JsonObject:
        return {"name": "metal", "holder": None, "waiting": [], "lock_dir": folder}

    ledger.fleet.heartbeat("generate@mac", heartbeat(machine="a", device=device("/run/lock/applejack")))
    ledger.fleet.heartbeat("train@other", heartbeat(machine=machine, device=device(folder)))
    assert found(fleet) == found_names


@pytest.mark.parametrize(
    ("other", "found_names"),
    [("0a1b2c3d4e5f", ["host_name_shared"]), ("001122334455", []), ("110a1b2c3d4e", [])],  # the last was made up
)
def test_two_machines_of_one_host_name_are_found(
    fleet: list[Check], ledger: Ledger, other: str, found_names: list[str]
) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(machine="001122334455"))
    ledger.fleet.heartbeat("two@mac", heartbeat(machine=other))
    assert found(fleet) == found_names


@pytest.mark.parametrize(
    ("pids", "found_names"),
    [
        ([1, 1, 1, 1, 1], []),
        ([1, 1, 2, 2, 2, 2], []),  # restarted
        ([1, 2, 1, 2], ["worker_doubled"]),
        ([1, 1, 1, 1, 2, 2, 1], ["worker_doubled"]),
    ],
)
def test_two_workers_of_one_name_are_found(
    client: redis.Redis, ledger: Ledger, pids: list[int], found_names: list[str]
) -> None:
    coming = iter(pids)

    def beat(_: float = 0) -> None:
        if pid := next(coming, None):
            ledger.fleet.heartbeat("one@mac", heartbeat(pid=pid))

    beat()
    assert found(checks(ledger, client, wait=beat)) == found_names


def test_a_worker_that_a_person_has_paused_consumes_nothing(
    fleet: list[Check], client: redis.Redis, ledger: Ledger
) -> None:
    client.lpush("curate", MESSAGE)
    ledger.fleet.heartbeat("one@mac", heartbeat(paused="paused by a person"))
    ledger.fleet.set_control("one@mac", WorkerControl.PAUSED)
    findings = run_checks(fleet).findings
    assert [finding.name for finding in findings] == ["queue_unread", "worker_held"]
    assert findings[1].remedy == "applejack worker resume one@mac"


@pytest.mark.parametrize("control", [WorkerControl.PAUSED, WorkerControl.DRAINING])
def test_what_was_asked_of_a_worker_that_is_gone_is_found(
    fleet: list[Check], ledger: Ledger, control: WorkerControl
) -> None:
    ledger.fleet.set_control("gone@mac", control)
    (finding,) = run_checks(fleet).findings
    assert finding.name == "control_left"
    assert "applies again when it starts" in finding.message


def test_a_paused_run_is_found_and_is_not_stranded(fleet: list[Check], ledger: Ledger) -> None:
    ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a")])
    assert found(fleet) == ["run_stranded"]
    ledger.controls.pause("night")
    (finding,) = run_checks(fleet).findings
    assert finding.name == "run_paused"
    assert "paused for 0 min" in finding.message


def test_a_cancelled_run_is_found_after_a_day(fleet: list[Check], client: redis.Redis, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="night", train=False), [Prompt(prompt="a")])
    ledger.controls.cancel("night")
    assert found(fleet) == []
    day = 25 * 3600 * 1000
    key = run_key("night", "run")
    client.hset(
        key, "history", re.sub(rb'"at":(\d+)', lambda at: b'"at":%d' % (int(at[1]) - day), client.hget(key, "history"))
    )
    (finding,) = run_checks(fleet).findings
    assert finding.name == "run_cancelled"
    assert "cancelled 25 h ago" in finding.message


@pytest.mark.parametrize("message", [b"resume the run", b"[1]", b"\xff\xfe", b'"generate"'])
def test_what_no_worker_can_read_in_a_queue_is_found(
    fleet: list[Check], client: redis.Redis, ledger: Ledger, message: bytes
) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat())
    client.lpush("generate", MESSAGE, message)
    assert found(fleet) == ["queue_garbage"]


@pytest.mark.parametrize(
    ("refuses", "found_names"), [({"big": "not found"}, ["model_refused"]), ({"other": "not found"}, [])]
)
def test_a_model_that_every_worker_refuses_is_found(
    fleet: list[Check], ledger: Ledger, refuses: JsonObject, found_names: list[str]
) -> None:
    ledger.create(Spec(run_id="night", model="big", train=False), [Prompt(prompt="a")])
    ledger.fleet.heartbeat("one@mac", heartbeat(refuses={"big": "not found"}))
    ledger.fleet.heartbeat("two@mac", heartbeat(refuses=refuses))
    assert found(fleet) == found_names


@pytest.mark.parametrize(
    ("fields", "found_names"),
    [
        ({"workspace_roots": ["/else"]}, ["workspace_refused"]),
        ({"workspace_roots": ["/src"], "commands": []}, ["workspace_refused"]),
        ({"workspace_roots": ["/src"], "commands": ["git"]}, []),
        ({}, []),  # a worker of an earlier version
    ],
)
def test_a_run_that_no_owner_allows_is_found(
    fleet: list[Check], ledger: Ledger, fields: JsonObject, found_names: list[str]
) -> None:
    spec = Spec(run_id="night", workspace="/src/celery", allow_commands=("git",), train=False)
    ledger.create(spec, [Prompt(prompt="a")])
    ledger.fleet.heartbeat("one@mac", heartbeat(workspace_roots=[]))
    ledger.fleet.heartbeat("two@mac", heartbeat(**fields))
    assert found(fleet) == found_names


@pytest.mark.parametrize(
    ("fields", "name"), [({"unsandboxed": True}, "worker_unsandboxed"), ({"no_sandbox": "none"}, "worker_no_sandbox")]
)
def test_a_worker_without_a_sandbox_is_found(fleet: list[Check], ledger: Ledger, fields: JsonObject, name: str) -> None:
    ledger.fleet.heartbeat("one@mac", heartbeat(**fields))
    (finding,) = run_checks(fleet).findings
    assert (finding.name, finding.severity) == (name, "warning")
    assert finding.help.endswith("#sandbox")
