"""This machine's clock compared with the Redis server's, which the whole fleet uses.

The ledger's times are the server's. Celery's ETA and kombu's delivery times are the machine's own, and are compared
with other machines' clocks. Both are converted with `ahead`, so that minutes between two clocks do no harm.
"""

import time
from dataclasses import dataclass


@dataclass
class Clock:
    """Updated by each heartbeat; until the first, the clocks count as equal."""

    ahead: float = 0.0
    """seconds by which this machine's clock is ahead of the server's"""

    def compare(self, server: float) -> None:
        """Take the server's time, seconds since the epoch, that has just been read."""
        self.ahead = time.time() - server

    def now(self) -> float:
        """The server's time, seconds since the epoch."""
        return time.time() - self.ahead
