"""Child processes that end with this process, their logs, and free ports.

Each child runs under a watchdog (watchdog.py), which ends it when this process dies, even by SIGKILL.
Not covered: a parent that forks without exec (the fork keeps the child alive), and a child that starts its own session.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from config import watchdog

ORPHAN_GRACE = 3.0  # seconds between SIGTERM and SIGKILL after the parent's death
STOP_GRACE = 10.0  # seconds a child may take to end after SIGTERM
KILL_SECONDS = 1.0  # the watchdog ends milliseconds after its command, unless it is suspended
KILL_POLL = 0.02
TAIL_BYTES = 1_000_000  # read only the end of a log: it can be large
ERROR_LINES = 100  # at the end of a log, searched for an exception
QUOTED_LINES = 3
QUOTED_CHARACTERS = 500
KILLED = watchdog.SIGNALLED + signal.SIGKILL  # exit code of a child that was ended by SIGKILL


@dataclass(frozen=True)
class ChildProcess:
    """A running command, its watchdog and its log."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]"
    """the watchdog, which leads the session of the command"""
    log_start: int = 0
    """size of the log in bytes when the child started"""

    @property
    def exit_code(self) -> int | None:
        """Exit code of the command, None while it runs; 128 + n if signal n ended the command or its watchdog."""
        code = self.process.poll()
        return watchdog.SIGNALLED - code if code is not None and code < 0 else code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command and its children, not to the watchdog."""
        for pid in session_members(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ask_to_end(self) -> None:
        """Send SIGTERM to the command; returns at once."""
        if self.exit_code is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the child and return its exit code; raises subprocess.TimeoutExpired."""
        self.process.wait(seconds)
        code = self.exit_code
        assert code is not None
        return code

    def stop(self, grace: float = STOP_GRACE) -> int:
        """Send SIGTERM, wait up to `grace` seconds, then SIGKILL the whole session; returns the exit code."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the command and its whole session; returns the exit code. A second call has no effect."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            deadline = time.monotonic() + KILL_SECONDS
            while self.exit_code is None and time.monotonic() < deadline:  # a new watchdog may start it late
                self.send(signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(KILL_POLL)
            if self.exit_code is None or self.process.returncode < 0:  # otherwise the watchdog has killed the rest
                self.process.kill()
                self.process.wait()
                self.send(signal.SIGKILL)
            self.process.stdin.close()
        return self.wait()

    def log_tail(self, count: int = 10) -> str:
        """The last `count` non-blank lines that the child wrote to its log."""
        return "\n".join(tail(self.log, count, start=self.log_start))

    def last_error(self) -> str:
        """The last error in its log, in one line; see the function last_error."""
        return last_error(tail(self.log, ERROR_LINES, start=self.log_start))


def start_child(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep: Sequence[int] = (),
    grace: float = ORPHAN_GRACE,
) -> ChildProcess:
    """Start a command under a watchdog, in its own session, so that Ctrl-C in a terminal reaches only this process.

    Its output is appended to `log`. It inherits the file descriptors in `keep`. `grace`: seconds between SIGTERM and
    SIGKILL after this process's death. Secrets belong in `env` or in a file of mode 600: every user of the machine can
    read arguments.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-IS", watchdog.__file__, str(grace), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            pass_fds=tuple(keep),
            start_new_session=True,
        )
    return ChildProcess(name, log, process, start)


def session_members(session: int) -> list[int]:
    """The process ids of a session without its leader."""
    members = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if pid not in (0, session) and os.getsid(pid) == session:
                members.append(pid)
    return members


def describe_exit(code: int) -> str:
    """An exit code for a message: "exit code 1", or "signal 15" for 143."""
    if code == KILLED:
        return "signal 9 (SIGKILL, often because memory ran out)"
    return f"signal {code - watchdog.SIGNALLED}" if code > watchdog.SIGNALLED else f"exit code {code}"


def tail(log: Path, count: int, *, start: int = 0) -> list[str]:
    """The last `count` non-blank lines after byte `start`; an empty list if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


def last_error(lines: Sequence[str]) -> str:
    """The last line that names an exception, else the last lines joined by " | "; short enough for a message."""
    stripped = [line.strip() for line in lines]
    raised = [line for line in stripped if re.match(r"[\w.]*(Error|Exception|Exit|Interrupt): ", line)]
    return " | ".join(raised[-1:] or stripped[-QUOTED_LINES:])[-QUOTED_CHARACTERS:]


def free_port(host: str = "127.0.0.1") -> int:
    """A currently free port. Another process may take it before the caller binds it, so the caller must retry."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether this port of 127.0.0.1 is free."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do, so that a port in TIME_WAIT counts as free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
