"""Child processes that never outlive this one: each has a watchdog that holds a pipe from us."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from producer.stack import watchdog

ORPHAN_GRACE = 3.0  # seconds between SIGTERM and SIGKILL once we are gone: nobody is left to wait longer
STOP_GRACE = 10.0  # seconds a child may take to end when asked


@dataclass(frozen=True)
class ChildProcess:
    """A running command, its watchdog and its log."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]"  # the watchdog; it leads the session that the command belongs to

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n when signal n ended the command."""
        return self.process.poll()

    def send(self, number: signal.Signals) -> None:
        """A signal for the command and what it started, not for the watchdog."""
        for pid in session_members(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ask_to_end(self) -> None:
        """SIGTERM to the command; returns at once."""
        if self.exit_code is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, grace: float = STOP_GRACE) -> int:
        """End it: SIGTERM, up to `grace` seconds, then SIGKILL for all of its session; the exit code."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL for the watchdog, the command and what it started in their session; the exit code."""
        code = self.exit_code
        if (
            code is None or code < 0
        ):  # a watchdog that ended by itself has left nothing; its number may be another's now
            self.send(signal.SIGKILL)
            self.process.kill()
        code = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code

    def log_tail(self, count: int = 10) -> str:
        """The end of its log, for a message about its death; empty when there is none."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-count:])


def session_members(session: int) -> list[int]:
    """The ids of a session's processes without its leader."""
    members = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if pid not in (0, session) and os.getsid(pid) == session:
                members.append(pid)
    return members


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
    """Start a command under a watchdog in a session of its own, so that Ctrl-C in a terminal reaches us alone.

    Its output is appended to `log`; `keep` are file descriptors that it inherits. Secrets belong in `env` or in a file
    of mode 600: arguments can be read by every user of the machine.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
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
    return ChildProcess(name, log, process)
