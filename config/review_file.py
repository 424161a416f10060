"""The file from which the review page of a run is made: written by the producer, read by the worker's command line.

JSON lines: first a ReviewHead, then a ReviewLine for each trajectory on the page.
"""

from typing import Literal

from pydantic import Field

from config.records import Record, Trajectory, Verdict

Side = Literal["kept", "rejected", "open"]
"""Where a trajectory stands; "open": it has no verdict yet."""


class ReviewHead(Record):
    """Counts of a run, as the ledger has them. Every job is counted once in `states`."""

    run_id: str
    version: int
    """Version of the run's dataset, now."""
    judged_version: int | None
    """Version that the verdicts are of; None if there are none."""
    states: dict[str, int]
    """Number of jobs per state."""
    kept: int
    """Kept jobs that did not run again since."""
    rejected: int
    """Rejected jobs that did not run again since."""
    open: int
    """Finished jobs without a verdict."""
    again: int
    """Jobs whose verdict is of an earlier attempt: they ran again since, or will."""
    reasons: dict[str, int]
    """Of `rejected`: jobs per reason; a job may have several."""
    failures: dict[str, int]
    """Failed jobs per failure kind."""
    shown: int = Field(ge=0)
    """Trajectories in this file."""
    correct: dict[str, int] | None = None
    """{"count", "of"}: right answers, of those with an expected answer."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader of the page."""

    @property
    def totals(self) -> str:
        """The counts in one line; those that are 0 are left out, except kept and rejected of a curated run."""
        total = sum(self.states.values())
        curated = self.judged_version is not None
        counts = {"kept": self.kept, "rejected": self.rejected} if curated else {}
        waiting = {state: self.states.get(state, 0) for state in ("running", "queued", "cancelled")}
        others = {"without a verdict": self.open, **waiting}
        shown = [f"{count} {name}" for name, count in counts.items()]
        shown += [f"{count} {name}" for name, count in others.items() if count]
        graded = self.correct if self.correct and self.correct.get("of") else None
        correct = [f"correct: {graded['count']} of {graded['of']}"] if graded else []
        return " · ".join([f"{total} job{'' if total == 1 else 's'}", *shown, *correct])


class ReviewLine(Record):
    """One trajectory on the page."""

    side: Side
    trajectory: Trajectory
    verdict: Verdict | None = None
    """None on the side "open"."""
    why: str = ""
    """On the side "open": why there is no verdict."""
