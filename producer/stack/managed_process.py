"""One child process of the local stack, restarted with exponential backoff when it dies."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.exit_codes import EXIT_BAD_INPUT
from config.process import ChildProcess, describe_exit, start_child

FIRST_PAUSE = 1.0  # seconds before the first restart; doubled each time
LONGEST_BACKOFF = 60.0
HEALTHY_SECONDS = 60.0  # after running this long, the backoff is reset to FIRST_PAUSE


@dataclass(frozen=True)
class ProcessExit:
    """Unexpected exit of a child."""

    name: str
    exit_code: int
    pause: float | None
    """seconds until it is restarted; None: it is not, because its input is wrong"""
    log: Path
    log_tail: str

    def __str__(self) -> str:
        restart = (
            "not restarting it: correct the cause below, then start the command again"
            if self.pause is None
            else f"restarting it in {self.pause:.0f} s"
        )
        reason = describe_exit(self.exit_code)
        return f"{self.name} exited ({reason}), {restart}; the end of {self.log}:\n{self.log_tail}"


@dataclass
class ManagedProcess:
    """A command of the stack; it is started when the object is created."""

    name: str
    command: list[str]
    log: Path
    env: Mapping[str, str] = field(repr=False)
    """contains the server's password"""
    deaths: int = 0
    due: float | None = None
    """time.monotonic() of the next start, None while it runs and after it ended for good"""
    ended: bool = False
    """it ended because of wrong input; a restart would end the same way"""

    def __post_init__(self) -> None:
        self.child = self._start()

    def _start(self) -> ChildProcess:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started, self.due = time.monotonic(), None
        # Run in our log directory: `-m` puts the working directory first on sys.path, where a user's directory named
        # `worker` or `config` would hide our package.
        return start_child(self.name, self.command, log=self.log, env=self.env, cwd=self.log.parent)

    def restart_if_dead(self, now: float) -> ProcessExit | None:
        """Return a new exit once, and restart the child after its pause; `now` is time.monotonic()."""
        code = self.child.exit_code
        if code is None or self.ended:
            return None
        if code == EXIT_BAD_INPUT:
            self.ended = True
            self.child.kill()
            return ProcessExit(self.name, code, None, self.log, self.child.log_tail(1))
        if self.due is None:
            self.child.kill()
            self.deaths = 1 if now - self.started > HEALTHY_SECONDS else self.deaths + 1
            pause = min(LONGEST_BACKOFF, FIRST_PAUSE * 2 ** (self.deaths - 1))
            self.due = now + pause
            return ProcessExit(self.name, code, pause, self.log, self.child.log_tail())
        if now >= self.due:
            self.child = self._start()
        return None
