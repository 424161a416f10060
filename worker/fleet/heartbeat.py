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

BEATS_PER_LEASE = 6  # beats in one lease: five may be missed before a living worker is taken for dead
LONGEST_BEAT = 2.0  # seconds; owed work is noticed within a few


class Pulse:
    """Started when the worker is ready, stopped when it shuts down."""

    def __init__(
        self,
        fleet: Fleet,
        leases: Leases,
        reconciler: Reconciler,
        *,
        worker: str,
        says: Callable[[], JsonObject],
        also: Callable[[], object],
    ) -> None:
        self._fleet = fleet
        self._also = also
        self._leases = leases
        self._reconciler = reconciler
        self._worker = worker
        self._says = says
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._interval = min(LONGEST_BEAT, leases.lease_seconds / BEATS_PER_LEASE)
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
            log.warning("pulse.no_goodbye", error=str(error))

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
                self.beat()
            except StoreError as error:
                self._steady_since = time.monotonic()
                log.warning("pulse.missed", error=str(error))
            except Exception:  # the pulse is what keeps jobs ours; whatever happened, the next beat must come
                log.exception("pulse.failed")
            self._stop.wait(self._interval)

    def beat(self) -> None:
        """Renew, say, and reconcile when elected; StoreError when the ledger cannot be reached."""
        self._leases.renew()
        self._also()
        self._fleet.heartbeat(self._worker, {**self._says(), "holds": len(self._leases)})
        if self._fleet.lead(self._worker, seconds=max(5.0, 3 * self._interval)):
            if self._steady():
                self._reconciler.reap()
            self._reconciler.resend()

    def _steady(self) -> bool:
        """Whether the ledger has been in reach for a whole lease, so that every living worker had time to renew."""
        return time.monotonic() - self._steady_since > self._leases.lease_seconds
