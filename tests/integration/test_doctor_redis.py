"""Doctor checks of a real Redis: each fault is planted once; a healthy server has no finding."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from celery import Celery
from pydantic import SecretStr

from config.diagnostics import DoctorReport, run_checks
from config.ledger.store import ledger_client
from config.process import free_port
from producer.doctor.store import Info, Store
from producer.stack.redis_server import Server

MB = 1_000_000


@dataclass(frozen=True)
class StoreWithInfo(Store):
    """A store with the INFO that a test gives it: an old server, a full memory, a broken disk."""

    fields: Info = field(default_factory=dict)

    def info(self, section: str) -> Info:  # noqa: ARG002 - the same fields for every section
        return self.fields


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The test's own server, because the test changes its settings."""
    with Server.start(tmp_path / "own") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with ledger_client(server.url.get_secret_value()) as client:
        yield client


def without_password(server: Server, client: redis.Redis, *settings: str) -> SecretStr:
    """Apply the settings and remove the password; the URL of the open server."""
    for name, value in zip(settings[::2], settings[1::2], strict=True):
        client.config_set(name, value)
    client.config_set("requirepass", "")
    return SecretStr("redis://" + server.url.get_secret_value().rpartition("@")[2])


def names(report: DoctorReport) -> list[tuple[str, str]]:
    return [(finding.name, finding.severity) for finding in report.findings]


def test_a_healthy_server_has_no_finding(server: Server) -> None:
    report = run_checks(Store(server.url).checks())
    assert report.findings == ()
    assert report.not_checked == ()
    assert "clock" in report.checked


def test_an_unreachable_server_is_an_error() -> None:
    store = Store(SecretStr(f"redis://:hunter2@127.0.0.1:{free_port()}/0"))
    report = run_checks(store.checks())
    assert names(report) == [("redis_unreachable", "error")]
    assert "hunter2" not in str(report)
    assert {skipped.check for skipped in report.not_checked} >= {"redis eviction", "redis persistence", "clock"}


def test_a_wrong_password_is_an_error(server: Server) -> None:
    url = SecretStr("redis://:hunter2@" + server.url.get_secret_value().rpartition("@")[2])
    report = run_checks(Store(url).checks()[:1])
    assert names(report) == [("redis_password", "error")]
    assert "hunter2" not in str(report)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, [("redis_eviction", "warning")]),  # no limit yet
        ({"maxmemory-policy": "volatile-ttl", "maxmemory": "1gb"}, [("redis_eviction", "error")]),
        ({"appendonly": "no"}, [("redis_no_aof", "error")]),
        ({"maxmemory": "1gb"}, []),  # a limit with noeviction refuses writes, as it should
    ],
)
def test_settings_that_lose_data_are_found(
    server: Server, client: redis.Redis, settings: dict[str, str], found: list[tuple[str, str]]
) -> None:
    for name, value in settings.items():
        client.config_set(name, value)
    assert names(run_checks(Store(server.url).checks())) == found


# Redis ignores a missing address with a "-" prefix, so this setting opens nothing to the network.
@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (("bind", "127.0.0.1 -192.0.2.1", "protected-mode", "no"), [("redis_open", "error")]),
        (
            ("bind", "127.0.0.1 -192.0.2.1", "protected-mode", "yes"),
            [],
        ),  # protected mode refuses other machines while there is no password
        (("bind", "127.0.0.1 -::1", "protected-mode", "no"), []),  # loopback only
    ],
)
def test_a_server_without_password_is_found_if_other_machines_can_reach_it(
    server: Server, client: redis.Redis, settings: tuple[str, ...], found: list[tuple[str, str]]
) -> None:
    assert names(run_checks(Store(without_password(server, client, *settings)).checks())) == found


def test_the_exposure_check_is_skipped_if_config_is_forbidden(server: Server, client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "plain", "on", ">word", "~*", "&*", "+@all", "-config")  # type: ignore[no-untyped-call]
    bare = without_password(server, client).get_secret_value()
    report = run_checks(Store(SecretStr(bare.replace("redis://", "redis://plain:word@"))).checks())
    assert [skipped.check for skipped in report.not_checked] == ["redis exposure"]


def test_a_remote_server_without_tls_is_a_warning() -> None:
    store = Store(SecretStr("redis://:word@192.0.2.1:6379/0"))
    report = run_checks([check for check in store.checks() if check.name == "redis exposure"])
    assert names(report) == [("redis_plain", "warning")]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"redis_version": "6.2.14"}, [("redis_old", "warning")]),
        ({"redis_version": "7.0.0"}, []),
        ({"redis_version": "10.1"}, []),  # compared as numbers, not as text
    ],
)
def test_an_old_server_is_found(fields: Info, found: list[tuple[str, str]]) -> None:
    store = StoreWithInfo(SecretStr("redis://127.0.0.1"), fields=fields)
    assert [(finding.name, finding.severity) for finding in store.version()] == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"used_memory": 70 * MB, "maxmemory": 100 * MB}, []),
        ({"used_memory": 85 * MB, "maxmemory": 100 * MB}, [("redis_memory", "warning")]),
        ({"used_memory": 97 * MB, "maxmemory": 100 * MB}, [("redis_memory", "error")]),
        ({"used_memory": 85 * MB, "maxmemory": 0, "total_system_memory": 100 * MB}, [("redis_memory", "warning")]),
    ],
)
def test_memory_that_runs_out_is_found(fields: Info, found: list[tuple[str, str]]) -> None:
    store = StoreWithInfo(SecretStr("redis://127.0.0.1"), fields=fields)
    assert [(finding.name, finding.severity) for finding in store.memory()] == found


def test_a_failing_disk_is_found() -> None:
    store = StoreWithInfo(SecretStr("redis://127.0.0.1"), fields={"aof_enabled": 1, "aof_last_write_status": "err"})
    assert [(finding.name, finding.severity) for finding in store.persistence()] == [("redis_disk", "error")]


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(90.0, "ahead of"), (-90.0, "behind"), (30.0, None)],  # less than a minute is acceptable
)
def test_clock_skew_is_found(server: Server, seconds: float, word: str | None) -> None:
    findings = list(Store(server.url, clock=lambda: time.time() + seconds).skew())
    assert [finding.name for finding in findings] == (["clock_skew"] if word else [])
    assert all(word in finding.message for finding in findings if word)


def test_another_celery_application_in_the_database_is_found(server: Server, client: redis.Redis) -> None:
    client.sadd("_kombu.binding.generate", "ours")
    assert list(Store(server.url).shared()) == []
    with Celery("other", broker=server.url.get_secret_value()) as other:
        other.send_task("their.task", ignore_result=True)
    (finding,) = Store(server.url).shared()
    assert (finding.name, finding.severity) == ("redis_shared", "error")
    assert server.url.get_secret_value() not in finding.message
