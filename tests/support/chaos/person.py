"""A person who cancels and pauses the run and pauses workers, and lets each of them go on after a moment.

After a loss of data the person recovers the run first (recovery.py).
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field

from config.errors import StoreError
from config.ledger import Ledger
from config.records import WorkerControl
from producer import control
from tests.support.chaos.recovery import Recovery

LOOK_SECONDS = 1.0
RUN = ""  # in the place of a worker's name


@dataclass
class Person:
    """Looks at the ledger each second: a power cut can take a command with it, so that it has to be repeated."""

    ledger: Ledger
    recovery: Recovery
    held: dict[str, float] = field(default_factory=dict)
    """name of a worker, or RUN -> when it may go on, time.monotonic()"""
    _looked_at: float = 0.0

    @property
    def run_id(self) -> str:
        """The run that is cancelled and paused."""
        return self.recovery.run_id

    def hold_run(self, seconds: float, *, cancel: bool) -> bool:
        """Cancel or pause the run for a while; False if it is held already, or has ended."""
        if self.recovery.pending or self.ledger.controls.of(self.run_id):
            return False
        self.held[RUN] = time.monotonic() + seconds
        act = control.cancel if cancel else control.pause
        return act(self.ledger, self.run_id)["state"] != "ended"

    def hold_worker(self, name: str, seconds: float) -> None:
        """Pause a worker for a while."""
        self.held[name] = time.monotonic() + seconds
        self.ledger.fleet.set_control(name, WorkerControl.PAUSED)

    def look(self) -> None:
        """Resume what has been held long enough, and what is held although it was resumed."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        with suppress(StoreError):  # the broker is down on purpose
            self._resume()

    def _resume(self) -> None:
        due = {name for name, at in self.held.items() if at <= time.monotonic()}
        again = {name for name in self.ledger.fleet.controls() if name not in self.held}
        for name in (due | again) - {RUN}:
            self.ledger.fleet.set_control(name, WorkerControl.GO)
        if self.recovery.pending:  # the run may be gone
            due -= {RUN}
        elif RUN in due or (RUN not in self.held and self.run_id and self.ledger.controls.of(self.run_id)):
            control.resume(self.ledger, self.run_id)
        for name in due:
            del self.held[name]
