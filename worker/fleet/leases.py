"""The leases of this worker: kept alive while the work runs, marked as lost when another worker takes over."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from config import logs
from config.ledger.fleet import Fleet, LeaseRef

log = logs.get(__name__)


@dataclass(frozen=True)
class Lease:
    """A lease of this worker; `lost` is set when it is no longer valid, `ending` when this worker shuts down.

    `run_cancelled` is set as well if the job's run was cancelled, so that nobody wants its result.
    A job whose lease has only expired may still be the first to complete.
    `closing` is set before this worker finishes or releases the work, which removes the lease from the ledger. A
    renewal that arrives behind that does not find the lease, and must not take it for lost.
    """

    ref: LeaseRef
    release: Callable[[str], bool]
    """requeue the work, with a reason"""
    lost: threading.Event = field(default_factory=threading.Event)
    run_cancelled: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def cancelled(self) -> bool:
        """Whether the work should stop now."""
        return self.lost.is_set() or self.ending.is_set()


class Leases:
    """Thread-safe: `hold` is called by jobs and stages, `renew` by the heartbeat."""

    def __init__(self, fleet: Fleet, *, lease_seconds: float) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._leases: dict[LeaseRef, Lease] = {}
        self._ending = False
        self.lease_seconds = lease_seconds

    @contextmanager
    def hold(self, ref: LeaseRef, release: Callable[[str], bool]) -> Iterator[Lease]:
        """Keep a lease alive for the duration of the block."""
        lease = Lease(ref, release)
        with self._lock:
            self._leases[ref] = lease
            if self._ending:
                lease.ending.set()
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[ref]

    def renew(self) -> None:
        """Renew all leases once; StoreError if the ledger cannot be reached."""
        with self._lock:
            leases = dict(self._leases)
        for ref in self._fleet.renew(list(leases), lease_seconds=self.lease_seconds):
            lease = leases[ref]
            if lease.closing.is_set():
                continue
            cancelled = self._fleet.is_cancelled(ref)
            if not lease.lost.is_set():
                log.warning("lease.lost", run_id=ref.run_id, member=ref.member, cancelled=cancelled)
            lease.lost.set()
            if cancelled:
                lease.run_cancelled.set()

    def end(self) -> None:
        """Set `ending` on all leases, current and future ones."""
        with self._lock:
            self._ending = True
            for lease in self._leases.values():
                lease.ending.set()

    def all(self) -> list[Lease]:
        """All current leases."""
        with self._lock:
            return list(self._leases.values())

    def __len__(self) -> int:
        """Number of current leases."""
        with self._lock:
            return len(self._leases)
