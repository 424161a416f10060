"""Leaves a job that this worker's owner refuses to other workers, as long as the owner of one of them may allow it.

A worker reports what its owner allows with each heartbeat, so that no job is tried in vain. Where no live worker may
allow it for GRACE_LEASES leases, in which one can start again, it is claimed here and fails as `workspace_refused`. So
does, at once, a job whose folder is named below a root of this worker and leads out of it: other workers judge by the
same name, and would hand it back for ever.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from config.errors import StoreError, WorkspaceError, WorkspaceRefusedError
from config.ledger import Ledger, RunView
from config.ledger.fleet import WorkerView
from config.owner_policy import Policy
from worker.fleet.redis_outage import retry_while_unavailable
from worker.fleet.wrong_model import GRACE_LEASES, SILENT_LEASES, generates

LOOK_SECONDS = 1.0  # a queue full of refused jobs costs one look at the fleet a second


@dataclass
class OwnerRefusal:
    """The jobs that one worker leaves to others. Thread-safe."""

    ledger: Ledger
    policy: Policy
    lease_seconds: float
    require_allowed: Callable[[str, Policy], None]
    """raises WorkspaceRefusedError for a workspace that the policy does not allow"""
    _looked: float = -math.inf
    _workers: list[WorkerView] = field(default_factory=list)
    _alone_since: dict[str, float] = field(default_factory=dict)
    """run id -> time.monotonic() since when no live worker may allow it"""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def left_to_others(self, run: RunView, job_id: str, *, worker: str) -> str:
        """Why this worker does not run the job, which waits for another one; "" if it is to be claimed here."""
        named, commands = self._workspace(run, job_id), run.spec.allow_commands
        if named is None:
            return ""
        try:
            self.policy.require_commands(commands)
            self.require_allowed(named, self.policy)
        except WorkspaceRefusedError as error:
            if not self.policy.objection(named, commands):
                return ""
            return str(error) if self._may_be_allowed(run.spec.run_id, named, commands, worker) else ""
        except WorkspaceError:  # the job fails with it
            pass
        return ""

    def _workspace(self, run: RunView, job_id: str) -> str | None:
        """The workspace of a job; None if there is none, or if this worker allows everything."""
        if self.policy == Policy():
            return None
        try:
            prompt = retry_while_unavailable(lambda: self.ledger.jobs.prompt(run.spec.run_id, job_id))
        except (StoreError, ValueError):  # the job fails with it
            return None
        return prompt.workspace or run.spec.workspace

    def _may_be_allowed(self, run_id: str, named: str, commands: tuple[str, ...], worker: str) -> bool:
        with self._lock:
            now = time.monotonic()
            if now - self._looked > LOOK_SECONDS:
                self._workers, self._looked = retry_while_unavailable(self.ledger.fleet.workers), now
            others = [
                Policy.of_heartbeat(view.fields)
                for view in self._workers
                if view.name != worker and generates(view) and view.silent_seconds <= SILENT_LEASES * self.lease_seconds
            ]
            if any(not other.objection(named, commands) for other in others):
                self._alone_since.pop(run_id, None)
                return True
            return now - self._alone_since.setdefault(run_id, now) < GRACE_LEASES * self.lease_seconds
