"""The heartbeat thread: renews leases, obeys people and publishes the worker's status.

A second thread reconciles if this worker is elected: reading and sending thousands of messages takes seconds, in which
leases would expire and a pause would not be obeyed.
"""

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

HEARTBEATS_PER_LEASE = 6  # five may be missed before a live worker is presumed dead
LONGEST_INTERVAL = 2.0  # seconds; pending work is noticed within two heartbeats


class Heartbeat:
    """Started when the worker is ready, stopped when it shuts down.

    `before_heartbeat` runs in the heartbeat thread, after the leases are renewed.
    """

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
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("heartbeat", self._run), ("reconciler", self._reconcile))
        ]
        self._interval = min(LONGEST_INTERVAL, leases.lease_seconds / HEARTBEATS_PER_LEASE)
        self._steady_since = time.monotonic()

    def start(self) -> None:
        """Start the threads; the first heartbeat follows at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and remove the worker from the ledger; an unavailable ledger does not delay the shutdown."""
        self._stop.set()
        for thread, seconds in zip(self._threads, (5, 1), strict=True):  # a pass over many messages is not waited for
            thread.join(timeout=seconds)
        try:
            self._fleet.leave(self._worker)
        except StoreError as error:
            log.warning("heartbeat.not_removed", error=str(error))

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():  # the first heartbeat at once: before it, no one can see this worker
            last = self._notice_sleep(last)
            try:
                self.tick()
            except StoreError as error:
                self._steady_since = time.monotonic()
                log.warning("heartbeat.missed", error=str(error))
            except Exception:  # without heartbeats this worker loses its leases, so the thread must survive any error
                log.exception("heartbeat.failed")
            self._stop.wait(self._interval)

    def tick(self) -> None:
        """Renew leases and publish the status; StoreError if the ledger cannot be reached."""
        self._leases.renew()
        self._before_heartbeat()
        self._fleet.heartbeat(self._worker, {**self._status(), "holds": len(self._leases)})

    def reconcile(self) -> None:
        """Requeue what is pending and lost, if this worker is elected; StoreError if the ledger cannot be reached."""
        queues = self._reconciler.queues
        if queues and self._fleet.try_become_leader(self._worker, seconds=max(5.0, 3 * self._interval), queues=queues):
            if self._steady():
                self._reconciler.reap()
            self._reconciler.resend()

    def _reconcile(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(self._interval):
            last = self._notice_sleep(last)
            try:
                self.reconcile()
            except StoreError as error:
                self._steady_since = time.monotonic()
                log.warning("reconciler.missed", error=str(error))
            except Exception:  # without it lost messages are never sent again, so the thread must survive any error
                log.exception("reconciler.failed")

    def _notice_sleep(self, last: float) -> float:
        """Return the time. After this machine slept, other workers' leases may look older than they are."""
        now = time.monotonic()
        if now - last > self._leases.lease_seconds / 2:
            self._steady_since = now
        return now

    def _steady(self) -> bool:
        """Whether the ledger was reachable for a whole lease, so that every live worker had time to renew."""
        return time.monotonic() - self._steady_since > self._leases.lease_seconds
