"""The embedded server: comes up with a password, keeps its data, gives way, and never outlives its owner."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from config.errors import StoreError, UsageError
from config.process import ChildProcess, session_members
from producer.stack import redis_server
from producer.stack.redis_binary import find_binary
from producer.stack.redis_server import STACK_FILE, Server, find_live, ping, short_lived_client

OWNER = """
import sys, time
from pathlib import Path
from producer.stack.redis_server import Server
running = Server.start(Path(sys.argv[1]))
print(running.child.process.pid, flush=True)
time.sleep(600)
"""


def gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def processes(child: ChildProcess) -> list[int]:
    return [child.process.pid, *session_members(child.process.pid)]


def start_owner(folder: Path) -> tuple["subprocess.Popen[str]", list[int]]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    watchdog = int(owner.stdout.readline())
    return owner, [watchdog, *session_members(watchdog)]


def test_server_answers_its_password_only(tmp_path: Path) -> None:
    with Server.start(tmp_path) as running:
        assert ping(running.url)
        address = running.url.get_secret_value().rpartition("@")[2]
        assert not ping(SecretStr(f"redis://{address}"))
        assert not ping(SecretStr(f"redis://:wrong@{address}"))


def test_server_refuses_writes_rather_than_drop_jobs(tmp_path: Path) -> None:
    with Server.start(tmp_path) as running, short_lived_client(running.url, 5) as client:
        wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "bind": "127.0.0.1"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_password_is_in_no_argument_and_no_open_file(tmp_path: Path) -> None:
    with Server.start(tmp_path) as running:
        password = running.url.get_secret_value().split(":")[2].partition("@")[0]
        for pid in processes(running.child):
            assert password not in " ".join(psutil.Process(pid).cmdline())
        holding = [
            path for path in tmp_path.rglob("*") if path.is_file() and password in path.read_text(errors="ignore")
        ]
        assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}


def test_data_survives_a_kill_and_a_restart_in_a_folder_with_odd_letters(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" ä c'
    first = Server.start(folder)
    with short_lived_client(first.url, 5) as client:
        client.lpush("generate", "job")
        client.config_set("appendfsync", "always")
        client.lpush("generate", "job")
    first.child.send(signal.SIGKILL)
    first.stop()
    with Server.start(folder) as second, short_lived_client(second.url, 5) as client:
        assert client.llen("generate") == 2


def test_second_stack_on_one_folder_is_refused_and_the_first_found(tmp_path: Path) -> None:
    with Server.start(tmp_path) as running:
        with pytest.raises(UsageError, match="already runs on") as refused:
            Server.start(tmp_path)
        assert "\n" not in str(refused.value)
        assert find_live(tmp_path) == running.url
    assert find_live(tmp_path) is None


@pytest.mark.parametrize(
    "written",
    [
        "",  # cut off
        "[]",  # not what we write
        '{"url": "redis://:p@127.0.0.1:1/0", "pid": 1}',  # left by a stack that was killed
    ],
)
def test_stale_or_broken_stack_file_is_no_live_server(tmp_path: Path, written: str) -> None:
    (tmp_path / STACK_FILE).write_text(written)
    assert find_live(tmp_path) is None


def test_server_and_watchdog_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    owner, members = start_owner(tmp_path)
    assert len(members) == 2
    owner.kill()
    owner.communicate()
    assert gone(members, seconds=10)


def test_folder_of_a_killed_stack_can_be_used_at_once(tmp_path: Path) -> None:
    owner, _ = start_owner(tmp_path)
    left = json.loads((tmp_path / STACK_FILE).read_text())["url"]
    owner.kill()
    owner.communicate()
    with Server.start(tmp_path) as running:
        assert running.url.get_secret_value() != left


def test_server_whose_folder_vanished_is_killed(tmp_path: Path) -> None:
    running = Server.start(tmp_path / "stack")
    members = processes(running.child)
    (tmp_path / "stack").rename(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere" / "redis").rglob("*"):
        path.unlink() if path.is_file() else None
    running.stop()
    assert gone(members, seconds=1)


def test_killed_watchdog_leaves_no_server_behind_a_stop(tmp_path: Path) -> None:
    running = Server.start(tmp_path)
    members = processes(running.child)
    os.kill(running.child.process.pid, signal.SIGKILL)
    running.child.process.wait()
    running.stop()
    assert gone(members, seconds=2)


def test_taken_port_is_given_up_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server.start(tmp_path / "first") as first:
        taken = int(first.url.get_secret_value().rpartition(":")[2].partition("/")[0])
        ports = iter([taken, taken, redis_server.free_port()])
        monkeypatch.setattr(redis_server, "free_port", lambda: next(ports))
        with Server.start(tmp_path / "second") as second:
            assert ping(second.url)
            assert ping(first.url)


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").write_text("in the way")
    with pytest.raises(StoreError, match="did not start") as failed:
        Server.start(tmp_path)
    assert "appendonlydir" in str(failed.value)
    assert find_live(tmp_path) is None


def test_too_old_server_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_binary().path != old
    old.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=0 malloc=libc bits=64'\n")
    assert find_binary().path == old


def test_wrong_password_is_not_taken_for_a_dead_server(redis_url: SecretStr) -> None:
    wrong = redis_url.get_secret_value().replace("redis://:", "redis://:x")
    with short_lived_client(SecretStr(wrong), 5) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_killed_server_comes_back_at_its_url_with_its_data(tmp_path: Path) -> None:
    with Server.start(tmp_path) as running:
        with short_lived_client(running.url, 5) as client:
            client.config_set("appendfsync", "always")
            client.set("kept", "yes")
        assert not running.revive()
        running.child.send(signal.SIGKILL)
        running.child.process.wait(10)
        assert running.revive()
        with short_lived_client(running.url, 5) as client:
            assert client.get("kept") == b"yes"
