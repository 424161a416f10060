"""Notices in the ledger: which events of a run people were told of, so that several watchers send each event once."""

from typing import Literal

import redis

from config.ledger.store import redis_errors
from config.topology import NOTICES, run_key

Claimed = Literal["yours", "sent", "leased"]
LEASE_SECONDS = 300  # longer than a delivery with its retries; a watcher that dies meanwhile is replaced after it


class Notices:
    """The notices of every run; run_id "" stands for the fleet."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def claim(self, run_id: str, notice: str) -> Claimed:
        """Whether the caller may send a notice, or somebody has sent it, or is about to."""
        sent, lease = _keys(run_id, notice)
        with redis_errors():
            if self._redis.hexists(sent, notice):
                return "sent"
            if not self._redis.set(lease, "", nx=True, ex=LEASE_SECONDS):
                return "leased"
            if self._redis.hexists(sent, notice):  # sent between the two commands above
                self._redis.delete(lease)
                return "sent"
        return "yours"

    def sent(self, run_id: str, notice: str) -> None:
        """Record that a claimed notice was sent."""
        sent, lease = _keys(run_id, notice)
        with redis_errors():
            self._redis.hsetnx(sent, notice, "")
            self._redis.delete(lease)

    def release(self, run_id: str, notice: str) -> None:
        """Leave a claimed notice, which could not be sent, to another watcher."""
        with redis_errors():
            self._redis.delete(_keys(run_id, notice)[1])

    def forget(self, run_id: str, *prefixes: str) -> None:
        """Forget the sent notices that start so: their cause is gone, and its return is another event."""
        with redis_errors():
            for prefix in prefixes:
                found = self._redis.hscan_iter(_keys(run_id, "")[0], match=f"{prefix}*", count=1000)
                if names := [name for name, _ in found]:
                    self._redis.hdel(_keys(run_id, "")[0], *names)


def _keys(run_id: str, notice: str) -> tuple[str, str]:
    """The hash of sent notices, and the lease of one notice."""
    sent = run_key(run_id, "notices") if run_id else NOTICES
    return sent, f"{sent}:{notice}"
