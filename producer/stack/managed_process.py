"""One child of the embedded stack: a command that is started again, after a pause that doubles, when it dies."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.process import ChildProcess, describe_exit, start_child

FIRST_PAUSE = 1.0  # seconds before a dead child is started again; doubled each time
LONGEST_BACKOFF = 60.0
HEALTHY_SECONDS = 60.0  # a child that lived this long starts again after FIRST_PAUSE


@dataclass(frozen=True)
class ProcessExit:
    """A child that ended without being asked."""

    name: str
    exit_code: int
    pause: float
    """seconds until it is started again"""
    log: Path
    log_tail: str

    def __str__(self) -> str:
        again = f"starting it again in {self.pause:.0f} s"
        return f"{self.name} ended ({describe_exit(self.exit_code)}), {again}; the end of {self.log}:\n{self.log_tail}"


@dataclass
class ManagedProcess:
    """A command of the stack, running from the moment it is made."""

    name: str
    command: list[str]
    log: Path
    env: Mapping[str, str] = field(repr=False)
    """holds the server's password"""
    deaths: int = 0
    due: float | None = None
    """time.monotonic() of the next start, None while it runs"""

    def __post_init__(self) -> None:
        self.child = self._start()

    def _start(self) -> ChildProcess:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started, self.due = time.monotonic(), None
        # A folder of ours alone is the working directory: `-m` puts it in front of sys.path, and a user's own folder
        # named `worker` or `config` would be taken for ours.
        return start_child(self.name, self.command, log=self.log, env=self.env, cwd=self.log.parent)

    def restart_if_dead(self, now: float) -> ProcessExit | None:
        """Notice its death, once, or start it again when its pause is over; `now` is time.monotonic()."""
        code = self.child.exit_code
        if code is None:
            return None
        if self.due is None:
            self.child.kill()
            self.deaths = 1 if now - self.started > HEALTHY_SECONDS else self.deaths + 1
            pause = min(LONGEST_BACKOFF, FIRST_PAUSE * 2 ** (self.deaths - 1))
            self.due = now + pause
            return ProcessExit(self.name, code, pause, self.log, self.child.log_tail())
        if now >= self.due:
            self.child = self._start()
        return None
