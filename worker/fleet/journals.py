"""Looks after this machine's journals: a full disk must not stop a job, and archived runs leave the disk."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from config import logs
from config.errors import StoreError
from config.journal import Journal
from config.ledger import Ledger

log = logs.get(__name__)

SWEEP_SECONDS = 60.0


@contextmanager
def log_journal_errors() -> Iterator[None]:
    """Log an error of the journal; the ledger has the trajectory all the same."""
    try:
        yield
    except (OSError, StoreError) as error:
        log.warning("journal.not_written", error=str(error))


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
