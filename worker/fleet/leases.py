"""What this worker holds: leases kept alive while the work goes on, and told when another worker took one over."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from config import logs
from config.ledger.fleet import Fleet, LeaseRef

log = logs.get(__name__)


@dataclass(frozen=True)
class Lease:
    """A lease while it is held; `lost` is set when another worker has it, `ending` when this worker shuts down."""

    held: LeaseRef
    release: Callable[[str], bool]
    """give it back to the ledger's debt, with the reason"""
    lost: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    def cancelled(self) -> bool:
        """Whether long work should stop now."""
        return self.lost.is_set() or self.ending.is_set()


class Leases:
    """Thread-safe; `renew` is called by the worker's pulse, `hold` by its jobs."""

    def __init__(self, fleet: Fleet, *, lease_seconds: float) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._leases: dict[LeaseRef, Lease] = {}
        self._ending = False
        self.lease_seconds = lease_seconds

    @contextmanager
    def hold(self, held: LeaseRef, release: Callable[[str], bool]) -> Iterator[Lease]:
        """Keep a lease alive for the length of the block."""
        lease = Lease(held, release)
        with self._lock:
            self._leases[held] = lease
            if self._ending:
                lease.ending.set()
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[held]

    def renew(self) -> None:
        """Renew all of them once; StoreError when the ledger cannot be reached."""
        with self._lock:
            leases = dict(self._leases)
        for held in self._fleet.renew(list(leases), lease_seconds=self.lease_seconds):
            if not leases[held].lost.is_set():
                log.warning("lease.lost", run_id=held.run_id, member=held.member)
            leases[held].lost.set()

    def end(self) -> None:
        """Tell long work that this worker shuts down, and what begins from now on too."""
        with self._lock:
            self._ending = True
            for lease in self._leases.values():
                lease.ending.set()

    def all(self) -> list[Lease]:
        """What is held now."""
        with self._lock:
            return list(self._leases.values())

    def __len__(self) -> int:
        """Leases held now."""
        with self._lock:
            return len(self._leases)
