"""Checks for what waits for a person: paused workers and runs, cancelled runs, what could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.diagnostics import Check, Diagnosis
from config.ledger import Ledger, RunView
from config.records import RunControl, WorkerControl

DAY = 86_400.0  # seconds; after this time a cancelled run may have been forgotten
WORDS = {WorkerControl.PAUSED: "is paused by a person", WorkerControl.DRAINING: "was asked to drain"}


@dataclass(frozen=True)
class Held:
    """What the controls in the ledger hold back."""

    ledger: Ledger
    silence: float
    """seconds without a heartbeat after which a worker is presumed dead"""

    def checks(self) -> list[Check]:
        """All checks."""
        return [
            Check("workers are not held back", self.workers),
            Check("runs are not paused", self.paused_runs),
            Check("cancelled runs", self.cancelled_runs),
            Check("dead letters", self.dead_letters),
        ]

    def workers(self) -> Iterator[Diagnosis]:
        """What was asked of a worker outlives its process: one that starts again takes no work either."""
        alive = {view.name for view in self.ledger.fleet.workers() if view.silent_seconds <= self.silence}
        for name, control in sorted(self.ledger.fleet.controls().items()):
            if control is WorkerControl.GO:
                continue
            here = name in alive
            yield Diagnosis(
                "worker_held" if here else "control_left",
                "warning",
                f"the worker {name!r} {WORDS[control]} and takes no work"
                + ("" if here else "; it does not run, and this applies again when it starts"),
                f"applejack worker resume {name}",
            )

    def paused_runs(self) -> Iterator[Diagnosis]:
        """Nothing of a paused run starts, however many workers are free."""
        for run_id in self.ledger.controls.paused():
            yield Diagnosis(
                "run_paused",
                "warning",
                f"the run {run_id!r} has been paused for {ago(self.ledger, self.ledger.run(run_id), 'paused')}",
                f"applejack resume {run_id}, or applejack cancel {run_id}",
            )

    def cancelled_runs(self) -> Iterator[Diagnosis]:
        """A cancelled run stays in Redis' memory until it is archived."""
        for run_id in self.ledger.run_ids():
            run = self.ledger.run(run_id)
            if run.control is RunControl.CANCELLED and age(self.ledger, run, "cancelled") > DAY:
                yield Diagnosis(
                    "run_cancelled",
                    "warning",
                    f"the run {run_id!r} was cancelled {ago(self.ledger, run, 'cancelled')} ago and is still in the "
                    "ledger",
                    f"applejack archive {run_id}, or applejack resume {run_id}",
                )

    def dead_letters(self) -> Iterator[Diagnosis]:
        """Messages and values that no worker could read; they harm nothing, but somebody wrote them."""
        if count := self.ledger.dead_letters.count():
            newest = self.ledger.dead_letters.newest(1)[0]
            yield Diagnosis(
                "dead_letters",
                "warning",
                f"{count} messages or values could not be read and were set aside; the newest came from "
                f"{newest.place!r}: {newest.reason}",
                "find what else writes to this Redis database, and give it another one",
            )


def age(ledger: Ledger, run: RunView, event: str) -> float:
    """Seconds since this last happened to a run; since its submission if that is not recorded."""
    times = [entry.at for entry in run.history if entry.event == event]
    return max(0.0, ledger.fleet.now() - (times[-1] if times else run.created))


def ago(ledger: Ledger, run: RunView, event: str) -> str:
    """The same in words: "3 days", "5 h", "12 min"."""
    seconds = age(ledger, run, event)
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    return f"{seconds / 3600:.0f} h" if seconds >= 2 * 3600 else f"{seconds / 60:.0f} min"
