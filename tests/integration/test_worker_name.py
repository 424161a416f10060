"""Two workers of one name on one broker: the second refuses to start, unless the first is dead. And a worker's log."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import UsageError
from config.ledger import Ledger
from config.records import JsonObject
from tests.support.fleet import until
from worker.fleet import worker_name
from worker.fleet.worker_name import machine, require_free

ROOT = Path(__file__).resolve().parents[2]
NAME = "twin@host"


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@contextmanager
def heartbeats(ledger: Ledger, fields: JsonObject) -> Iterator[None]:
    """A live worker's, every 0.2 s."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.2):
            ledger.fleet.heartbeat(NAME, fields)

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.parametrize(
    "fields",
    [
        {"machine": "other", "pid": 1},  # another machine, where nobody can ask for the process
        {"machine": machine(), "pid": os.getppid()},  # this machine, and the process is there
        {"pid": 1},  # a worker of an older version
    ],
)
def test_the_name_of_a_live_worker_is_refused(ledger: Ledger, fields: JsonObject) -> None:
    ledger.fleet.heartbeat(NAME, fields)
    with heartbeats(ledger, fields), pytest.raises(UsageError, match=r"'twin@host' is alive .*give another --name"):
        require_free(ledger.fleet, NAME, lease_seconds=20)


@pytest.mark.parametrize(
    "fields",
    [
        {"machine": machine(), "pid": dead_pid()},  # killed, and restarted at once
        {"machine": machine(), "pid": os.getpid()},  # in a container that was started again
    ],
)
def test_the_name_of_a_dead_worker_of_this_machine_is_free_at_once(ledger: Ledger, fields: JsonObject) -> None:
    ledger.fleet.heartbeat(NAME, fields)
    started = time.monotonic()
    require_free(ledger.fleet, NAME, lease_seconds=20)
    assert time.monotonic() - started < worker_name.WATCH_SECONDS / 2


def test_the_name_of_a_worker_that_fell_silent_is_free(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_name, "WATCH_SECONDS", 0.5)
    ledger.fleet.heartbeat(NAME, {"machine": "other", "pid": 1})
    require_free(ledger.fleet, NAME, lease_seconds=20)  # no further heartbeat
    monkeypatch.setattr(worker_name, "WATCH_SECONDS", 60)
    require_free(ledger.fleet, NAME, lease_seconds=0.1)  # silent for a lease
    require_free(ledger.fleet, "another@host", lease_seconds=20)


@pytest.mark.timeout(180)
def test_a_second_worker_of_a_name_ends_with_one_line_and_the_log_is_json(
    ledger: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    """Fails without celeryd_init's receiver in worker/app.py, and without --quiet in worker_command."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "APPLEJACK_REDIS_URL": redis_url.get_secret_value(),
        "APPLEJACK_DIR": str(tmp_path),
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(log: str) -> "subprocess.Popen[bytes]":
        code = "from producer.cli import main; main()"
        with (tmp_path / log).open("wb") as stream:
            command = [sys.executable, "-P", "-c", code, "worker", "curate", "--name", "twin"]
            started.append(subprocess.Popen(command, stdout=stream, stderr=stream, env=environment))
        return started[-1]

    def heard(process: "subprocess.Popen[bytes]") -> bool:
        return process.pid in [view.fields.get("pid") for view in ledger.fleet.workers()]

    try:
        first = start("first.log")
        until(lambda: heard(first), "the first worker sent a heartbeat", seconds=90)
        second = start("second.log")
        assert second.wait(60) == 2
        [line] = [json.loads(line) for line in (tmp_path / "second.log").read_text().splitlines()]
        assert f"(process {first.pid}" in line["error"]
        first.kill()  # it is not reaped yet: a zombie, as under a service manager
        third = start("third.log")
        until(lambda: heard(third), "the restarted worker sent a heartbeat", seconds=90)
        third.send_signal(signal.SIGTERM)
        assert third.wait(60) == 0
        lines = (tmp_path / "third.log").read_text().splitlines()
        assert "worker.draining" in [json.loads(line)["event"] for line in lines]  # each line is JSON
    finally:
        for process in started:
            process.kill()
            process.wait()
