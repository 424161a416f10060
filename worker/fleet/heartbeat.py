"""The worker's pulse: a thread that renews its leases, says it is alive, and reconciles when it is the fleet's turn."""

import threading
import time
from collections.abc import Callable

from config import logs
from config.errors import StoreError
from config.ledger.fleet import Fleet
from config.records import JsonObject
from worker.fleet.leases import Leases
from worker.fleet.reconciler import Reconciler

log = logs.get(__name__)

HEARTBEATS_PER_LEASE = 6  # beats in one lease: five may be missed before a living worker is taken for dead
LONGEST_INTERVAL = 2.0  # seconds; owed work is noticed within a few


class Heartbeat:
    """Started when the worker is ready, stopped when it shuts down."""

    def __init__(
        self,
        fleet: Fleet,
        leases: Leases,
        reconciler: Reconciler,
        *,
        worker: str,
        status: Callable[[], JsonObject],
        before_heartbeat: Callable[[], object],
    ) -> None:
        self._fleet = fleet
        self._before_heartbeat = before_heartbeat
        self._leases = leases
        self._reconciler = reconciler
        self._worker = worker
        self._status = status
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._interval = min(LONGEST_INTERVAL, leases.lease_seconds / HEARTBEATS_PER_LEASE)
        self._steady_since = time.monotonic()

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and say goodbye; a ledger that is away does not hold the shutdown up."""
        self._stop.set()
        self._thread.join(timeout=5)
        try:
            self._fleet.leave(self._worker)
        except StoreError as error:
            log.warning("heartbeat.not_removed", error=str(error))

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():  # the first beat at once: until then nobody knows that this worker is there
            now = time.monotonic()
            if (
                now - last > self._leases.lease_seconds / 2
            ):  # this machine slept: others' leases may look older than they are
                self._steady_since = now
            last = now
            try:
                self.tick()
            except StoreError as error:
                self._steady_since = time.monotonic()
                log.warning("heartbeat.missed", error=str(error))
            except Exception:  # the pulse is what keeps jobs ours; whatever happened, the next beat must come
                log.exception("heartbeat.failed")
            self._stop.wait(self._interval)

    def tick(self) -> None:
        """Renew, say, and reconcile when elected; StoreError when the ledger cannot be reached."""
        self._leases.renew()
        self._before_heartbeat()
        self._fleet.heartbeat(self._worker, {**self._status(), "holds": len(self._leases)})
        if self._fleet.try_become_leader(self._worker, seconds=max(5.0, 3 * self._interval)):
            if self._steady():
                self._reconciler.reap()
            self._reconciler.resend()

    def _steady(self) -> bool:
        """Whether the ledger has been in reach for a whole lease, so that every living worker had time to renew."""
        return time.monotonic() - self._steady_since > self._leases.lease_seconds
