"""Messages and ledger values that no worker can read: set aside with a reason, at most MOST of them, and counted."""

import json
from dataclasses import dataclass

import redis

from config.ledger.store import decode, redis_errors, run_script
from config.topology import DEAD_LETTERS

MOST = 1_000  # kept; older ones are only counted
SHOWN = 300  # characters of a value
COUNT = f"{DEAD_LETTERS}:count"


@dataclass(frozen=True)
class DeadLetter:
    """One value that was set aside."""

    at: float
    """seconds since the epoch, server clock"""
    place: str
    """the queue it came from, or "run RUN" """
    reason: str
    start: str
    """its first characters"""


class DeadLetters:
    """The fleet's dead letters, newest first."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, place: str, value: bytes | str, reason: str) -> None:
        """Set a value aside."""
        text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
        parts = [part.encode(errors="replace").decode() for part in (place, reason[:SHOWN], text[:SHOWN])]
        run_script(self._redis, "dead_letter", [DEAD_LETTERS, COUNT], [*parts, MOST])

    def count(self) -> int:
        """Number of values set aside since `clear`."""
        with redis_errors():
            return int(decode(self._redis.get(COUNT)) or 0)

    def newest(self, most: int = MOST) -> list[DeadLetter]:
        """The newest ones."""
        with redis_errors():
            return [DeadLetter(*json.loads(line)) for line in self._redis.lrange(DEAD_LETTERS, 0, most - 1)]

    def clear(self) -> None:
        """Forget them all."""
        with redis_errors():
            self._redis.delete(DEAD_LETTERS, COUNT)
