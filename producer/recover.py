"""Rebuilds the ledger's runs from the journals of any workers. What is there already is not changed."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.atomic_files import write_text
from config.errors import UsageError
from config.journal import UNSEEN_FILE, Entries, read
from config.ledger import Ledger
from config.records import JobState, JsonObject
from config.topology import UNSEEN

TOLD = 1_000  # trajectories between two reports of progress


@dataclass(frozen=True)
class Recovered:
    """One run after its recovery."""

    run_id: str
    created: bool
    """the ledger did not have the run"""
    restored: int
    """trajectories that were put back"""
    missing: int
    """jobs without a trajectory; they are queued"""
    unknown: int
    """trajectories of jobs that the run does not have, or of other runs"""
    broken: tuple[str, ...]
    """lines of journals that cannot be read, "FILE:LINE"; the last line of a killed worker may be one"""

    def as_json(self) -> JsonObject:
        """The result as `applejack recover --json` prints it."""
        return {
            "run_id": self.run_id,
            "created": self.created,
            "recovered": self.restored,
            "missing": self.missing,
            "unknown": self.unknown,
            "broken": list(self.broken),
        }


def recover(
    ledger: Ledger, folders: list[Path], *, run_ids: tuple[str, ...] = (), tell: Callable[[str], object]
) -> list[Recovered]:
    """Put every trajectory of the journals back that the ledger lacks, and let the runs go on with what is missing.

    UsageError if the folders hold no run, or not all of `run_ids`, or another run of the same id.
    """
    found = [entries for entries in read(folders) if not run_ids or entries.run_id in run_ids]
    known = {entries.run_id for entries in found}
    if absent := [run_id for run_id in run_ids if run_id not in known]:
        raise UsageError(f"no journal of run {absent[0]!r} in {', '.join(map(str, folders))}")
    if not found:
        raise UsageError(
            f"no journal in {', '.join(map(str, folders))}; give the journal folders of workers with --from"
        )
    return [_recover(ledger, entries, tell) for entries in found]


def _recover(ledger: Ledger, entries: Entries, tell: Callable[[str], object]) -> Recovered:
    created = _require_run(ledger, entries)
    broken: list[str] = []
    counts = {"restored": 0, "already": 0, "unknown": 0}
    for number, made in enumerate(entries.trajectories(broken), start=1):
        worker = made.provenance.worker if made.provenance else ""
        own = made.run_id == entries.run_id  # a line of another run would change that run
        word = ledger.restoration.put(made, worker=worker) if own else "unknown"
        counts[word] += 1
        if word == "restored" and made.provenance and made.provenance.workspace:
            named = _workspace(entries, made.job_id)
            if named:
                ledger.pin(entries.run_id, named, made.provenance.workspace)
        if number % TOLD == 0:
            tell(f"{entries.run_id}: {number} trajectories read")
    if ledger.restoration.unfinished(entries.run_id):
        ledger.restoration.end(entries.spec, restored=counts["restored"])
    jobs = ledger.jobs.counts(entries.run_id)
    missing = jobs[JobState.QUEUED] + jobs[JobState.RUNNING]
    return Recovered(entries.run_id, created, counts["restored"], missing, counts["unknown"], tuple(broken))


def _require_run(ledger: Ledger, entries: Entries) -> bool:
    """Create the run if the ledger does not have it; returns whether it was created."""
    created = ledger.create_jobs(entries.spec, entries.jobs).new if entries.run_id not in ledger.run_ids() else False
    if ledger.jobs.ids(entries.run_id) != sorted(job for job, _ in entries.jobs):
        raise UsageError(
            f"the ledger has another run {entries.run_id!r}, with other prompts; archive it, then recover again"
        )
    if entries.unseen is not None and not ledger.files.has(entries.run_id, UNSEEN):
        with tempfile.TemporaryDirectory() as folder:
            write_text(Path(folder) / UNSEEN_FILE, entries.unseen)
            ledger.files.put(entries.run_id, UNSEEN, Path(folder))
    return created


def _workspace(entries: Entries, job_id: str) -> str | None:
    """The workspace of a job, as its prompt or its run names it."""
    prompt = entries.prompt(job_id)
    return (prompt.workspace if prompt else None) or entries.spec.workspace
