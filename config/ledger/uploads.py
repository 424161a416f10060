"""A hash that takes the place of another one when all its parts are stored."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import redis
from redis.client import Pipeline

from config.errors import StoppedError, StoreError
from config.ledger.fleet import LeaseRef
from config.ledger.store import decode

KEPT = 3600  # seconds after its last part; a worker that was killed in mid-upload leaves one


@dataclass
class Upload:
    """The parts go to a key of this upload's own: a worker that was suspended in mid-upload may go on later."""

    client: redis.Redis
    key: str
    """the hash to replace"""
    _own: str = field(init=False)
    _parts: int = 0
    _sent: bool = False

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

    def replace(self, lease: LeaseRef | None = None, *, also: Callable[[Pipeline], object] = lambda _: None) -> None:
        """Put the parts in the place of the other hash; `also` adds commands to the same transaction.

        Raises:
            StoppedError: the lease is another worker's now, or its run was cancelled.
            StoreError: parts have expired.
        """

        def write(pipe: Pipeline) -> None:
            if lease and decode(pipe.hget(lease.key, "token")) != lease.token:
                raise StoppedError("stopped: another worker has its work now, or its run was cancelled")
            if self._sent and not pipe.exists(self._own):  # it was carried out, and the answer was lost
                pipe.multi()
                return
            if pipe.hlen(self._own) != self._parts:
                raise StoreError(
                    f"an upload to {self.key!r} was interrupted for more than {KEPT // 60} minutes: repeat it"
                )
            pipe.multi()
            pipe.persist(self._own)
            pipe.rename(self._own, self.key)
            also(pipe)
            self._sent = True

        self.client.transaction(write, self._own, *([lease.key] if lease else []))
