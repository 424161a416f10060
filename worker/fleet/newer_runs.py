"""Runs that a later version of applejack has submitted, or filled: this worker leaves them to the others.

None of their jobs and stages fails for it. Their messages are dropped, and the reconciler sends them again as long as a
live worker can read the run.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from config import logs
from config.errors import UNREADABLE_RUN, NewerRecordError, StoreUnavailableError, UsageError
from config.ledger import Ledger
from worker.fleet.outcome import Fate, Outcome

log = logs.get(__name__)


@dataclass
class NewerRuns:
    """What this worker has found; its methods may be called from any thread."""

    reasons: dict[str, str] = field(default_factory=dict)
    """run id -> why this worker cannot read it; sent with each heartbeat"""
    _seen: set[str] = field(default_factory=set)

    def leave(self, run_id: str, error: NewerRecordError, job_id: str | None = None) -> Outcome:
        """Remember the run; returns the outcome of the message that is dropped."""
        self._remember(run_id, error)
        return self._dropped(run_id, job_id, str(error))

    def left(self, run_id: str, job_id: str | None = None) -> Outcome | None:
        """The outcome of a message of a run that is left to others; None for any other run."""
        reason = self.reasons.get(run_id)
        return self._dropped(run_id, job_id, reason) if reason else None

    def look(self, ledger: Ledger, active: Collection[str]) -> None:
        """Read the runs that are new since the last call, and forget those that have ended."""
        for run_id in [run_id for run_id in active if run_id not in self._seen]:
            try:
                ledger.run(run_id)
            except NewerRecordError as error:
                self._remember(run_id, error)
            except StoreUnavailableError:
                raise
            except (UsageError, *UNREADABLE_RUN):
                pass  # removed meanwhile, or broken: the reconciler sets it aside
        self._seen = set(active)
        for run_id in [run_id for run_id in list(self.reasons) if run_id not in self._seen]:
            self.reasons.pop(run_id, None)

    def _remember(self, run_id: str, error: NewerRecordError) -> None:
        if run_id not in self.reasons:
            log.warning("run.newer", run_id=run_id, reason=str(error))
        self.reasons[run_id] = str(error)

    def _dropped(self, run_id: str, job_id: str | None, reason: str) -> Outcome:
        log.info("message.left_to_others", run_id=run_id, job_id=job_id)
        return Outcome(Fate.DROPPED, reason)
