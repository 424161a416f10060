"""The embedded stack: it starts, restarts dead processes, can be found, and leaves no process behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from config.errors import StoreError, UsageError
from config.ledger import Ledger
from config.process import session_members
from config.settings import Settings
from producer.stack import local_stack
from producer.stack.local_stack import Stack
from producer.stack.redis_server import find_live, ping
from tests.support.fleet import until

WAIT = 90.0  # seconds; five Python processes start on two busy cores
MARK = "APPLEJACK_TEST_MARK"


def wait_for(condition: Callable[[], object], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def marked(mark: str) -> list[psutil.Process]:
    """Processes with the mark in their environment. Redis is not among them, because its title overwrites it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv(MARK, str(tmp_path))
    return str(tmp_path)


@pytest.fixture
def up(tmp_path: Path, mark: str) -> Iterator["subprocess.Popen[str]"]:
    applejack = [sys.executable, "-c", "from producer.cli import main; main()"]
    command = [*applejack, "up", "--dir", str(tmp_path / "stack"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.timeout(240)
def test_up_leaves_no_process_after_any_signal(
    up: "subprocess.Popen[str]", mark: str, tmp_path: Path, signal_number: signal.Signals
) -> None:
    assert up.stdout is not None
    assert up.stderr is not None
    assert up.stderr.readline() == "starting server, workers, Flower ...\n"
    assert not (tmp_path / "stack" / "logs" / "train.log").exists()  # printed before the slow part of the start
    body = json.loads(up.stdout.readline())
    assert set(body["urls"]) == {"redis", "flower", "runs"}
    assert set(json.loads(Path(body["password_file"]).read_text())) == {"user", "password"}
    tree = psutil.Process(up.pid).children(recursive=True)
    assert len(tree) >= 10  # server, three workers, Flower, and a watchdog for each
    up.send_signal(signal_number)
    code = up.wait(WAIT)
    assert code == (0 if signal_number is not signal.SIGKILL else -signal.SIGKILL)
    assert ("stopping; queued work is kept" in up.stderr.read()) is (signal_number is not signal.SIGKILL)
    wait_for(lambda: not marked(mark) and not any(process.is_running() for process in tree), seconds=20)
    assert find_live(tmp_path / "stack") is None


@pytest.mark.timeout(240)
def test_up_that_loses_its_terminal_during_start_leaves_no_process(up: "subprocess.Popen[str]", mark: str) -> None:
    wait_for(lambda: len(marked(mark)) >= 6)
    up.send_signal(signal.SIGHUP)
    assert up.wait(WAIT) == 0
    wait_for(lambda: not marked(mark), seconds=20)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that several tests damage, started where the user's folders are named like applejack's packages."""
    folder = tmp_path_factory.mktemp("running")
    for name in ("worker", "config"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not applejack')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stack = Stack(Settings(dir=Path()), generate=1)
        with stack:
            yield stack


@pytest.mark.timeout(240)
def test_users_folders_with_applejacks_package_names_are_not_imported(running: Stack) -> None:
    running.wait_ready()


@pytest.mark.timeout(240)
def test_dead_worker_is_reported_and_restarted(running: Stack) -> None:
    stack = running
    stack.wait_ready()
    victim = stack.member("generate1")
    before = session_members(victim.child.process.pid)
    victim.child.send(signal.SIGKILL)
    victim.child.process.wait(10)
    [death] = stack.check()
    assert (death.name, death.exit_code) == ("generate1", 128 + signal.SIGKILL)
    assert str(victim.log) in str(death)
    assert stack.check() == []  # not restarted before its pause is over
    time.sleep(death.pause)
    assert stack.check() == []
    assert set(session_members(victim.child.process.pid)).isdisjoint(before)
    stack.wait_ready()


@pytest.mark.timeout(240)
def test_dead_redis_is_restarted_for_the_workers(running: Stack) -> None:
    stack = running
    stack.wait_ready()
    url = stack.running.redis_url
    assert url is not None
    server = stack.server
    assert server is not None
    server.child.send(signal.SIGKILL)
    server.child.process.wait(10)
    assert not ping(url)
    stack.check()
    assert ping(url)
    stack.wait_ready()


@pytest.mark.timeout(240)
def test_restart_pause_doubles_for_a_worker_that_keeps_dying(tmp_path: Path) -> None:
    with Stack(Settings(dir=tmp_path), generate=1) as stack:
        victim = stack.member("generate1")
        victim.command[:] = [sys.executable, "-c", "raise SystemExit('no such model')"]
        victim.child.kill()
        pauses = []
        for _ in range(3):
            wait_for(lambda: victim.child.exit_code is not None)
            [death] = stack.check()
            pauses.append(death.pause)
            time.sleep(death.pause)
            stack.check()
        assert pauses == [1, 2, 4]
        assert "no such model" in str(death)


def test_error_for_a_worker_that_cannot_start_contains_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "celery.py").write_text("raise RuntimeError('planted')\n")
    # PYTHONPATH comes before installed packages, even with -P, so this celery is imported.
    stack = Stack(Settings(dir=tmp_path / "stack"), generate=1, env={"PYTHONPATH": str(broken)})
    with pytest.raises(StoreError, match="planted"), stack:
        stack.wait_ready()


@pytest.mark.timeout(240)
@pytest.mark.timeout(240)
def test_settings_redis_is_used_and_left_running_without_its_workers(
    tmp_path: Path, redis_url: SecretStr, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspended worker neither delays the stop nor stays in the ledger: fails without Stack._remove_from_ledger."""
    monkeypatch.setattr(local_stack, "WARM_SECONDS", 1.0)
    fleet = Ledger.connect(redis_url.get_secret_value()).fleet
    with Stack(Settings(dir=tmp_path, redis_url=redis_url), generate=1) as stack:
        stack.wait_ready()
        assert stack.running.redis_url == redis_url
        with pytest.raises(UsageError, match="already runs"), Stack(Settings(dir=tmp_path, redis_url=redis_url)):
            pass
        until(lambda: len(fleet.workers()) == 3, "heartbeats")
        stack.member("generate1").child.send(signal.SIGSTOP)
    assert marked(mark) == []
    assert ping(redis_url)
    assert fleet.workers() == []


def test_error_for_an_unreachable_settings_redis_has_no_password(tmp_path: Path) -> None:
    url = SecretStr("redis://:hidden@127.0.0.1:1/0")
    with pytest.raises(StoreError, match="APPLEJACK_REDIS_URL") as failed, Stack(Settings(dir=tmp_path, redis_url=url)):
        pass
    assert "hidden" not in str(failed.value)
