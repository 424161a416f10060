"""Decides when nobody serves a run's model. Its jobs then fail as `wrong_model`; until then they wait in the queue.

That is the case once every live generate worker has refused the model and the first refusal is GRACE_LEASES leases old,
so that a server can be restarted with the right model, or a worker can join. A paused worker has not refused. It is
waited for, but not for more than LIMIT_SECONDS without one generated job.
"""

import threading
import time
from dataclasses import dataclass, field

from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.ledger.refusals import Refusals
from config.topology import QUEUE_GENERATE

GRACE_LEASES = 3.0  # 60 s with the default lease of 20 s
LIMIT_SECONDS = 1800.0
SILENT_LEASES = 1.5  # without a heartbeat for this long, a worker is not waited for
FRESH_SECONDS = 120.0  # a refusing worker repeats its refusal with each job; an older one says nothing
CHECK_SECONDS = 1.0  # a queue full of refused jobs costs one look at the ledger a second
SHOWN = 300  # characters of the workers' reasons


@dataclass
class WrongModel:
    """The refusals of one worker, and what follows from those of the fleet. Thread-safe."""

    ledger: Ledger
    lease_seconds: float
    _verdicts: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, run_id: str, *, worker: str, reason: str) -> str:
        """Record that this worker cannot serve a run's model; returns why no worker can, "" if one still may."""
        with self._lock:
            at, verdict = self._verdicts.get(run_id, (-CHECK_SECONDS, ""))
            if time.monotonic() - at >= CHECK_SECONDS:
                refusals = self.ledger.refusals.add(run_id, worker, reason)
                verdict = served_by_nobody(refusals, self._live(), grace=GRACE_LEASES * self.lease_seconds)
                self._verdicts[run_id] = time.monotonic(), verdict
            return verdict

    def _live(self) -> list[WorkerView]:
        views = self.ledger.fleet.workers()
        return [view for view in views if view.silent_seconds <= SILENT_LEASES * self.lease_seconds]


def served_by_nobody(refusals: Refusals, live: list[WorkerView], *, grace: float) -> str:
    """Why no worker will serve the run's model; "" while one may."""
    fresh = {name: why for name, (seconds, why) in refusals.by_worker.items() if seconds <= FRESH_SECONDS}
    reasons = "; ".join(f"{name}: {why}" for name, why in sorted(fresh.items()))
    shown = reasons if len(reasons) <= SHOWN else f"{reasons[:SHOWN]} [...]"
    if refusals.seconds > LIMIT_SECONDS:
        return f"no worker has served the run's model for {LIMIT_SECONDS / 60:.0f} minutes: {shown}"
    waiting = [view.name for view in live if generates(view) and view.name not in fresh]
    return "" if waiting or refusals.seconds < grace else f"every live worker refused the run's model: {shown}"


def generates(view: WorkerView) -> bool:
    """Whether a worker consumes generation jobs, or will once it is no longer paused."""
    queues = view.fields.get("queues")
    return isinstance(queues, list) and QUEUE_GENERATE in queues
