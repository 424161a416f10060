"""Runs one stage after generation: claim it in the ledger, do its work, then finish or release it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config import logs
from config.errors import UNREADABLE_RUN, ApplejackError, NewerRecordError, StoppedError, StoreUnavailableError
from config.ledger import Ledger
from config.ledger.fleet import LeaseRef
from config.ledger.stages import StageClaim, stage_member
from config.records import JsonObject
from config.settings import Settings
from config.topology import Stage
from worker.device.room import DISK_FULL, disk_cause
from worker.fleet.leases import Lease, Leases
from worker.fleet.newer_runs import NewerRuns
from worker.fleet.outcome import Fate, Outcome
from worker.fleet.redis_outage import retry_while_unavailable
from worker.models.progress import Downloads
from worker.stages.context import StageContext
from worker.stages.work import WORK

log = logs.get(__name__)

REFUSALS = {
    "held": "another worker runs it",
    "waiting": "its input is not ready",
    "skipped": "the run does not include it",
    "done": "already finished",
    "failed": "already finished",
}
"""the ledger's words for a claim that it refuses -> what Flower shows; others are clear as they are"""


@dataclass
class StageRunner:
    """Runs the stages that Celery delivers to this worker."""

    ledger: Ledger
    leases: Leases
    settings: Settings
    worker: str
    downloads: Downloads = field(default_factory=Downloads)
    """what this worker downloads, for its status"""
    paused: Callable[[], str] = lambda: ""
    """why a person lets this worker take no work; "" if it may"""
    newer: NewerRuns = field(default_factory=NewerRuns)

    def run(self, run_id: str, stage: Stage) -> Outcome:
        """Run one stage, unless it is not ready or leased by another worker; returns what became of this delivery."""
        if reason := self.paused():  # delivered before the consumer stopped; the stage is still ready
            log.info("stage.dropped", run_id=run_id, stage=stage.value, because=reason)
            return Outcome(Fate.DROPPED, reason)
        if left := self.newer.left(run_id):
            return left
        claim = self._claim(run_id, stage)
        if isinstance(claim, str):
            log.info("stage.dropped", run_id=run_id, stage=stage.value, because=claim)
            return Outcome(Fate.DROPPED, REFUSALS.get(claim, claim))

        def release(why: str) -> bool:
            return self.ledger.stages.release(claim, why=why)

        with self.leases.hold(LeaseRef(run_id, stage_member(stage), claim.token), release) as lease:
            try:
                result, error = retry_while_unavailable(lambda: self._attempt(claim, lease))
            except NewerRecordError as newer:
                lease.closing.set()
                retry_while_unavailable(lambda: release("its worker runs an older applejack"))
                return self.newer.leave(run_id, newer)
            lease.closing.set()
            if error and lease.lost.is_set():  # its run is cancelled, or another worker has it: not a failure
                log.info("stage.stopped", run_id=run_id, stage=stage.value, because=error)
                return Outcome(Fate.DROPPED, error)
            if error and lease.ending.is_set():
                retry_while_unavailable(lambda: release("its worker shuts down"))
                return Outcome(Fate.RETRY, "its worker shuts down")
            ended = retry_while_unavailable(lambda: self.ledger.stages.finish(claim, result=result, error=error))
        log.info("stage.finished", run_id=run_id, stage=stage.value, error=error or None, ended=ended)
        if ended == "stale":
            return Outcome(Fate.DROPPED, "another worker has taken it over, or its run was cancelled")
        return Outcome(Fate.FAILED, error) if error else Outcome(Fate.DONE)

    def _claim(self, run_id: str, stage: Stage) -> StageClaim | str:
        """The stage's claim, or why there is none."""
        lease = self.leases.lease_seconds
        try:
            return retry_while_unavailable(
                lambda: self.ledger.stages.begin(run_id, stage, worker=self.worker, lease_seconds=lease)
            )
        except UNREADABLE_RUN as error:  # the reconciler sets the run aside
            return f"its run cannot be read: {type(error).__name__}"

    def _attempt(self, claim: StageClaim, lease: Lease) -> tuple[JsonObject, str]:
        if claim.exhausted:
            return {}, "its workers died on it again and again; see their logs, then resubmit"
        log.info("stage.started", run_id=claim.run_id, stage=claim.stage.value)
        folder = (self.settings.runs / claim.run_id).resolve()
        try:
            run = self.ledger.run(claim.run_id)  # read anew: the dataset's version changes with each resubmission
            folder.mkdir(parents=True, exist_ok=True)
            context = StageContext(self.ledger, self.settings, self.worker, run, folder, lease, self.downloads)
            return WORK[claim.stage](context), ""
        except (StoreUnavailableError, NewerRecordError):
            raise  # not the stage's fault: it is retried when the ledger is back, or by a worker of a later version
        except ApplejackError as error:
            return {}, " ".join(str(error).split()) + self._full_disk(error, folder, claim)
        except Exception as error:  # whatever went wrong, the run must end as failed
            full_disk = self._full_disk(error, folder, claim)
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                return {}, f"{os.strerror(error.errno)}{full_disk}"
            log.exception("stage.internal", run_id=claim.run_id, stage=claim.stage.value)
            return {}, f"internal: {type(error).__name__}: {error}{full_disk}"

    def _full_disk(self, error: Exception, folder: Path, claim: StageClaim) -> str:
        """The end of a message where a full disk may be the cause; else ""."""
        if isinstance(error, StoppedError) or not (cause := disk_cause(error, folder)):
            return ""
        return f"; {cause}: free some, then `applejack resubmit {claim.run_id} --stage {claim.stage.value}`"
