"""Refused jobs that wait until they are offered again, to any worker."""

import threading
import time
from collections.abc import Callable

from worker.fleet.retry import refused_delay

MOST = 10_000  # jobs remembered, 2 MB; above it, those that are due are forgotten


class Postponed:
    """Queues each refused job again once; thread-safe. `requeue` takes run_id, job_id and a delay in seconds."""

    def __init__(self, requeue: Callable[[str, str, float], None] | None) -> None:
        self._requeue = requeue
        self._lock = threading.Lock()
        self._until: dict[tuple[str, str], float] = {}
        """(run_id, job_id) -> time.monotonic() of the next delivery"""

    def add(self, run_id: str, job_id: str, seconds: float | None = None) -> bool:
        """Queue a refused job again after a delay; False for a second message meanwhile, which is to be dropped."""
        now, delay = time.monotonic(), refused_delay() if seconds is None else seconds
        with self._lock:
            if self._until.get((run_id, job_id), now) > now:
                return False
            if len(self._until) > MOST:
                self._until = {job: until for job, until in self._until.items() if until > now}
            self._until[run_id, job_id] = now + delay
        if self._requeue:
            self._requeue(run_id, job_id, delay)
        return True
