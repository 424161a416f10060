"""A hash that takes the place of another one when all its parts are stored."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis
from redis.client import Pipeline

from config.errors import StoreError

KEPT = 3600  # seconds after its last part; a worker that was killed in mid-upload leaves one


@dataclass
class Upload:
    """The parts go to a key of this upload's own: a worker that was suspended in mid-upload may go on later."""

    client: redis.Redis
    key: str
    """the hash to replace"""
    _own: str = field(init=False)
    _parts: int = 0

    def __post_init__(self) -> None:
        """Choose the key."""
        self._own = f"{self.key}:new:{secrets.token_hex(8)}"

    def add(self, parts: Mapping[str, str | bytes]) -> None:
        """Store parts, whose names differ from all before."""
        with self.client.pipeline(transaction=True) as pipe:
            pipe.hset(self._own, mapping=parts)  # type: ignore[arg-type]  # redis-py's keys are invariant
            pipe.expire(self._own, KEPT)
            pipe.execute()
        self._parts += len(parts)

    def replace(self, pipe: Pipeline) -> None:
        """Put the parts in the place of the other hash, in a transaction. StoreError if some have expired."""
        if self.client.hlen(self._own) != self._parts:
            raise StoreError(f"an upload to {self.key!r} was interrupted for more than {KEPT // 60} minutes: repeat it")
        pipe.persist(self._own)
        pipe.rename(self._own, self.key)
