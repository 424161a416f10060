"""Stores trajectories in the journal and the ledger, and looks after this machine's journals.

A full disk does not fail a job: its trajectory waits in memory, and the worker takes no further jobs until the journal
has it. Archived runs leave the disk.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from config import logs
from config.errors import StoreError
from config.journal import Journal
from config.ledger import Ledger, RunView
from config.ledger.jobs import Finished
from config.records import Trajectory
from worker.fleet.redis_outage import retry_while_unavailable

log = logs.get(__name__)

SWEEP_SECONDS = 60.0


@contextmanager
def log_journal_errors() -> Iterator[None]:
    """Log an error of the journal; the ledger has the trajectory all the same."""
    try:
        yield
    except (OSError, StoreError, ValueError) as error:  # ValueError: a prompt of the run cannot be read
        log.warning("journal.not_written", error=str(error))


def store(
    ledger: Ledger, journal: Journal | None, run: RunView, trajectory: Trajectory, *, worker: str, token: str
) -> Finished:
    """Write a trajectory to the journal, then store it in the ledger; returns what the ledger says."""
    if journal:
        with log_journal_errors():
            journal.add(trajectory)
        with log_journal_errors():
            journal.keep_run(ledger, run)
    stored = retry_while_unavailable(lambda: ledger.jobs.finish(trajectory, worker=worker, token=token))
    if journal and stored not in {"stored", "last"} and not _is_stored(ledger, trajectory):
        with log_journal_errors():
            journal.drop(trajectory)
    return stored


def _is_stored(ledger: Ledger, trajectory: Trajectory) -> bool:
    """Whether the ledger has this very trajectory: an earlier try stored it, and its reply was lost."""
    run_id, job_id, attempt = trajectory.run_id, trajectory.job_id, trajectory.attempt
    return retry_while_unavailable(lambda: ledger.jobs.trajectory(run_id, job_id, attempt)) == trajectory


def unwritten(journal: Journal, ledger: Ledger) -> str:
    """Why the journal lacks something that this worker made; "" if it lacks nothing. Tries to write it first."""
    try:
        journal.catch_up(ledger)
    except OSError as error:
        return f"the journal cannot be written ({error.strerror or error})"
    except (StoreError, ValueError) as error:  # not this disk's fault
        log.warning("journal.not_written", error=str(error))
    return ""


class JournalSweeper:
    """Deletes the journals of archived runs, at most once in SWEEP_SECONDS."""

    def __init__(self, journal: Journal, ledger: Ledger) -> None:
        self._journal = journal
        self._ledger = ledger
        self._next = 0.0

    def sweep(self) -> None:
        """StoreError if the ledger cannot be reached."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SWEEP_SECONDS
        for run_id in self._ledger.archived(self._journal.runs()):
            self._journal.forget(run_id)
            log.info("journal.deleted", run_id=run_id)
