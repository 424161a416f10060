"""Child processes: ended kindly, then not; nothing of theirs is left; their parent's death is theirs too."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.process import ChildProcess, last_error, session_members, start_child

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
from config.process import start_child
child = start_child("stubborn", [sys.executable, "-c", sys.argv[2]], log=Path(sys.argv[1]), grace=0.3)
print(child.process.pid, flush=True)
time.sleep(600)
"""


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start_stubborn(tmp_path: Path) -> tuple[ChildProcess, list[int]]:
    child = start_child("stubborn", [sys.executable, "-c", STUBBORN], log=tmp_path / "stubborn.log")
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


def test_child_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    child, members = start_stubborn(tmp_path)
    child.stop(grace=0.3)
    assert all_gone(members)


def test_children_of_a_killed_command_end_with_it(tmp_path: Path) -> None:
    child, members = start_stubborn(tmp_path)
    psutil.Process(members[1]).kill()
    assert child.process.wait(10) == 128 + signal.SIGKILL
    assert all_gone(members)
    child.kill()


def test_stubborn_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "stubborn.log"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(log), STUBBORN], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    watchdog = int(owner.stdout.readline())
    wait_for("up", log)
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
def test_exit_code_and_log_are_kept(tmp_path: Path, script: str, code: int) -> None:
    command = [sys.executable, "-c", f"print('one'); print('two', flush=True); {script}"]
    child = start_child("brief", command, log=tmp_path / "logs" / "brief.log")
    assert child.process.wait(10) == code
    assert child.log_tail(1) == "two"
    assert child.stop() == code


def test_next_start_appends_to_the_log_and_quotes_only_its_own_lines(tmp_path: Path) -> None:
    for word in ("first", "second"):
        child = start_child("brief", [sys.executable, "-c", f"print({word!r})"], log=tmp_path / "brief.log")
        child.process.wait(10)
        child.stop()
    assert child.log.read_text() == "first\nsecond\n"
    assert child.log_tail() == "second"


def test_kill_ends_a_command_whose_watchdog_is_suspended(tmp_path: Path) -> None:
    child, members = start_stubborn(tmp_path)
    child.process.send_signal(signal.SIGSTOP)
    assert child.kill() == 128 + signal.SIGKILL
    assert all_gone(members)
    assert child.kill() == 128 + signal.SIGKILL  # again: nothing is left to do


def test_kill_right_after_the_start_leaves_no_command(tmp_path: Path) -> None:
    """Fails where the watchdog is killed between the look at its session and the start of its command."""
    for number in range(5):
        child = start_child("new", [sys.executable, "-c", STUBBORN], log=tmp_path / "new.log")
        time.sleep(number / 100)
        child.kill()
        assert session_members(child.process.pid) == []


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
