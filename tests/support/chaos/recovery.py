"""A person who runs `applejack recover` a moment after data was lost, and again until it has succeeded and lasted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from config.journal import SPEC
from tests.support.workers import ROOT

COMMAND = [sys.executable, "-P", "-c", "from producer.cli import main; main()", "recover", "--json"]
AGAIN_SECONDS = 0.5  # after a recovery that failed: the broker was killed during it, or a disk was replaced
LASTING_SECONDS = 3.0  # a power cut within these may have taken a part of the recovery; a second more than it takes


@dataclass
class Recovery:
    """Recovers one run with the journals that are left; if none has the run, the person submits it again."""

    url: SecretStr
    folder: Path
    run_id: str = ""
    submit: Callable[[], object] = lambda: None
    """submits the run again, as it was"""
    restored: int = 0
    """trajectories put back, over all recoveries"""
    times: int = 0
    """recoveries that succeeded"""
    submitted_again: int = 0
    wrong: list[str] = field(default_factory=list)
    """trajectories of unknown jobs: there must be none"""
    _due: float | None = None
    _ended_at: float = float("-inf")
    _process: subprocess.Popen[str] | None = None

    @property
    def pending(self) -> bool:
        """Whether a recovery is still to be done or under way."""
        return self._due is not None or self._process is not None

    def lose(self, seconds: float) -> None:
        """Data was lost; the person notices after some seconds."""
        self._due = time.monotonic() + seconds

    def power_cut(self) -> None:
        """The last second of the broker's file is gone: repeat a recovery that may have been in it."""
        if self.pending or time.monotonic() - self._ended_at < LASTING_SECONDS:
            self.lose(0.0)

    def look(self, journals: Sequence[Path]) -> None:
        """Start what is due with these journal folders, and notice what has ended."""
        if self._process is not None:
            if self._process.poll() is not None:
                self._ended(self._process)
                self._process = None
        elif self._due is not None and self._due <= time.monotonic():
            self._start([journal for journal in journals if (journal / self.run_id / SPEC).is_file()])

    def stop(self) -> None:
        """Kill a recovery that is under way."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _start(self, journals: Sequence[Path]) -> None:
        self._due = None
        if not journals:
            self.submit()
            self.submitted_again += 1
            self._ended_at = time.monotonic()
            return
        places = [word for journal in journals for word in ("--from", str(journal))]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "APPLEJACK_REDIS_URL": self.url.get_secret_value()}
        with (self.folder / "recover.log").open("a") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *places, self.run_id],
                env=env,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _ended(self, process: subprocess.Popen[str]) -> None:
        said, _ = process.communicate()
        with (self.folder / "recover.log").open("a") as log:
            log.write(said)
        try:
            found = json.loads(said.splitlines()[-1])
            self.restored += found["recovered"]
        except (ValueError, LookupError):  # it failed
            self._due = min(self._due or float("inf"), time.monotonic() + AGAIN_SECONDS)
            return
        if found["unknown"]:
            self.wrong.append(f"recovery: {found}")
        self.times += 1
        self._ended_at = time.monotonic()
