"""What this worker holds: leases kept alive while the work goes on, and told when another worker took one over."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from config import logs
from config.ledger.fleet import Fleet, Held

log = logs.get(__name__)


@dataclass(frozen=True)
class Lease:
    """A lease while it is held; `lost` is set when another worker has it."""

    held: Held
    lost: threading.Event = field(default_factory=threading.Event)


class Leases:
    """Thread-safe; `renew` is called by the worker's pulse, `hold` by its jobs."""

    def __init__(self, fleet: Fleet, *, lease_seconds: float) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._leases: dict[Held, Lease] = {}
        self.lease_seconds = lease_seconds

    @contextmanager
    def hold(self, held: Held) -> Iterator[Lease]:
        """Keep a lease alive for the length of the block."""
        lease = Lease(held)
        with self._lock:
            self._leases[held] = lease
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

    def __len__(self) -> int:
        """Leases held now."""
        with self._lock:
            return len(self._leases)
