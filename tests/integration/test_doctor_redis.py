"""The doctor on a real Redis: each trap planted once, and a sound one gives no finding."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config.diagnostics import DoctorReport, run_checks
from config.ledger.store import ledger_client
from config.process import free_port
from producer.doctor.store import Info, Store
from producer.stack.redis_server import Server

MB = 1_000_000


@dataclass(frozen=True)
class ToldStore(Store):
    """A store whose INFO says what a test tells it to: an old server, a full memory, a broken disk."""

    said: Info = field(default_factory=dict)

    def info(self, section: str) -> Info:  # noqa: ARG002 - one answer to every section
        return self.said


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, for its settings are changed."""
    with Server.start(tmp_path / "own") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with ledger_client(server.url.get_secret_value()) as client:
        yield client


def without_password(server: Server, client: redis.Redis, *settings: str) -> SecretStr:
    """Let everybody in, with these settings; the url for it."""
    for name, value in zip(settings[::2], settings[1::2], strict=True):
        client.config_set(name, value)
    client.config_set("requirepass", "")
    return SecretStr("redis://" + server.url.get_secret_value().rpartition("@")[2])


def named(seen: DoctorReport) -> list[tuple[str, str]]:
    return [(trap.name, trap.severity) for trap in seen.findings]


def test_a_sound_server_has_no_finding(server: Server) -> None:
    seen = run_checks(Store(server.url).checks())
    assert seen.findings == ()
    assert seen.not_checked == ()
    assert "clock" in seen.checked


def test_a_server_that_is_not_there() -> None:
    store = Store(SecretStr(f"redis://:hunter2@127.0.0.1:{free_port()}/0"))
    seen = run_checks(store.checks())
    assert named(seen) == [("redis_unreachable", "error")]
    assert "hunter2" not in str(seen)
    assert {unseen.check for unseen in seen.not_checked} >= {"redis eviction", "redis persistence", "clock"}


def test_a_wrong_password(server: Server) -> None:
    url = SecretStr("redis://:hunter2@" + server.url.get_secret_value().rpartition("@")[2])
    seen = run_checks(Store(url).checks()[:1])
    assert named(seen) == [("redis_password", "error")]
    assert "hunter2" not in str(seen)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, [("redis_eviction", "warning")]),  # no limit yet
        ({"maxmemory-policy": "volatile-ttl", "maxmemory": "1gb"}, [("redis_eviction", "error")]),
        ({"appendonly": "no"}, [("redis_no_aof", "error")]),
        ({"maxmemory": "1gb"}, []),  # a limit with noeviction refuses writes, as it should
    ],
)
def test_settings_that_lose_work(
    server: Server, client: redis.Redis, settings: dict[str, str], found: list[tuple[str, str]]
) -> None:
    for name, value in settings.items():
        client.config_set(name, value)
    assert named(run_checks(Store(server.url).checks())) == found


# An address with "-" in front may be missing: the setting is wide, and this test opens nothing to the network.
@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (("bind", "127.0.0.1 -192.0.2.1", "protected-mode", "no"), [("redis_open", "error")]),
        (("bind", "127.0.0.1 -192.0.2.1", "protected-mode", "yes"), []),  # others are refused while it is open
        (("bind", "127.0.0.1 -::1", "protected-mode", "no"), []),  # loopback only
    ],
)
def test_a_server_without_password(
    server: Server, client: redis.Redis, settings: tuple[str, ...], found: list[tuple[str, str]]
) -> None:
    assert named(run_checks(Store(without_password(server, client, *settings)).checks())) == found


def test_a_server_that_forbids_config_is_told_as_not_checked(server: Server, client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "plain", "on", ">word", "~*", "&*", "+@all", "-config")  # type: ignore[no-untyped-call]
    bare = without_password(server, client).get_secret_value()
    seen = run_checks(Store(SecretStr(bare.replace("redis://", "redis://plain:word@"))).checks())
    assert [unseen.check for unseen in seen.not_checked] == ["redis exposure"]


def test_a_distant_server_without_tls_is_a_warning() -> None:
    store = Store(SecretStr("redis://:word@192.0.2.1:6379/0"))
    seen = run_checks([check for check in store.checks() if check.name == "redis exposure"])
    assert named(seen) == [("redis_plain", "warning")]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"redis_version": "6.2.14"}, [("redis_old", "warning")]),
        ({"redis_version": "7.0.0"}, []),
        ({"redis_version": "10.1"}, []),  # compared as numbers, not as text
    ],
)
def test_an_old_server(said: Info, found: list[tuple[str, str]]) -> None:
    store = ToldStore(SecretStr("redis://127.0.0.1"), said=said)
    assert [(trap.name, trap.severity) for trap in store.version()] == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"used_memory": 70 * MB, "maxmemory": 100 * MB}, []),
        ({"used_memory": 85 * MB, "maxmemory": 100 * MB}, [("redis_memory", "warning")]),
        ({"used_memory": 97 * MB, "maxmemory": 100 * MB}, [("redis_memory", "error")]),
        ({"used_memory": 85 * MB, "maxmemory": 0, "total_system_memory": 100 * MB}, [("redis_memory", "warning")]),
    ],
)
def test_memory_that_fills(said: Info, found: list[tuple[str, str]]) -> None:
    store = ToldStore(SecretStr("redis://127.0.0.1"), said=said)
    assert [(trap.name, trap.severity) for trap in store.memory()] == found


def test_a_disk_that_cannot_be_written() -> None:
    store = ToldStore(SecretStr("redis://127.0.0.1"), said={"aof_enabled": 1, "aof_last_write_status": "err"})
    assert [(trap.name, trap.severity) for trap in store.persistence()] == [("redis_disk", "error")]


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(90.0, "ahead of"), (-90.0, "behind"), (30.0, None)],  # under a minute is no trap
)
def test_a_clock_that_is_off(server: Server, seconds: float, word: str | None) -> None:
    found = list(Store(server.url, clock=lambda: time.time() + seconds).skew())
    assert [trap.name for trap in found] == (["clock_skew"] if word else [])
    assert all(word in trap.message for trap in found if word)
