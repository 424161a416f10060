"""Child processes: ended kindly, then not; nothing of theirs is left; their parent's death is theirs too.

The forks that tests start as workers are held to the same.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from config.process import ChildProcess, last_error, session_members, start_child
from tests.support.forked_workers import start_fork
from tests.support.workers import ROOT

Start = Callable[[str], ChildProcess]
STARTS = (start_child, start_fork)

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""

OWNER = """
import sys, time
from pathlib import Path
from {module} import {start}
folder = Path(sys.argv[1])
child = {start}("child", [sys.executable, "-m", "script"], log=folder / "child.log", cwd=folder, grace=0.3)
print(child.process.pid, flush=True)
time.sleep(600)
"""


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """start(SCRIPT) -> a child process named "child" that runs it."""

    def starts(script: str) -> ChildProcess:
        (tmp_path / "script.py").write_text(script)
        command = [sys.executable, "-m", "script"]
        return request.param("child", command, log=tmp_path / "logs" / "child.log", cwd=tmp_path)  # type: ignore[no-any-return]

    return starts


def start_stubborn(start: Start) -> tuple[ChildProcess, list[int]]:
    child = start(STUBBORN)
    wait_for("up", child.log)
    members = [child.process.pid, *session_members(child.process.pid)]
    assert len(members) == 3
    return child, members


def all_gone(pids: list[int], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_child_that_ignores_sigterm_is_killed_with_its_children(start: Start) -> None:
    child, members = start_stubborn(start)
    child.stop(grace=0.3)
    assert all_gone(members)


def test_children_of_a_killed_command_end_with_it(start: Start) -> None:
    child, members = start_stubborn(start)
    psutil.Process(members[1]).kill()
    assert child.process.wait(10) == 128 + signal.SIGKILL
    assert all_gone(members)
    child.kill()


@pytest.mark.parametrize("start", STARTS)
def test_stubborn_child_ends_when_its_parent_is_killed(tmp_path: Path, start: Callable[..., ChildProcess]) -> None:
    (tmp_path / "script.py").write_text(STUBBORN)
    owner_script = OWNER.format(module=start.__module__, start=start.__name__)
    owner = subprocess.Popen(
        [sys.executable, "-c", owner_script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert owner.stdout is not None
    watchdog = int(owner.stdout.readline())
    wait_for("up", tmp_path / "child.log")
    members = [watchdog, *session_members(watchdog)]
    owner.kill()
    owner.communicate()
    assert all_gone(members)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise SystemExit(3)", 3),  # its own word
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 128 + signal.SIGSEGV),  # a crash
    ],
)
def test_exit_code_and_log_are_kept(start: Start, script: str, code: int) -> None:
    child = start(f"print('one'); print('two', flush=True); {script}")
    assert child.wait(10) == code
    assert child.log_tail(1) == "two"
    assert child.stop() == code


def test_next_start_appends_to_the_log_and_quotes_only_its_own_lines(start: Start) -> None:
    for word in ("first", "second"):
        child = start(f"print({word!r})")
        child.wait(10)
        child.stop()
    assert child.log.read_text() == "first\nsecond\n"
    assert child.log_tail() == "second"


def test_kill_ends_a_command_whose_watchdog_is_suspended(start: Start) -> None:
    child, members = start_stubborn(start)
    child.process.send_signal(signal.SIGSTOP)
    assert child.kill() == 128 + signal.SIGKILL
    assert all_gone(members)
    assert child.kill() == 128 + signal.SIGKILL  # again: nothing is left to do


def test_kill_right_after_the_start_leaves_no_command(start: Start) -> None:
    """Fails where the watchdog is killed between the look at its session and the start of its command."""
    for number in range(5):
        child = start(STUBBORN)
        time.sleep(number / 100)
        child.kill()
        assert all_gone(session_members(child.process.pid))  # once init has reaped what was killed


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (
            ["Traceback (most recent call last):", "ValueError: no such model", "nanobind: leaked"],
            "ValueError: no such model",
        ),
        (["one", "two", " three", "four"], "two | three | four"),  # no exception
        (["a.b.HubError: 404", "KeyError: 'x'"], "KeyError: 'x'"),  # the last of two
        ([], ""),
    ],
)
def test_last_error_is_the_last_exception_else_the_last_lines(lines: list[str], error: str) -> None:
    assert last_error(lines) == error
