"""Refusals in the ledger: the workers whose endpoint does not serve a run's model. A generated job removes them all.

They decide nothing by themselves: a worker reads them to find out whether any worker can still run the run's jobs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import redis

from config.ledger.store import decode, redis_errors
from config.topology import run_key

SINCE = ""  # the field with the time of the first refusal; a worker's name is not empty
FORGET_SECONDS = 300.0  # without a refusal: the next one counts as the first


@dataclass(frozen=True)
class Refusals:
    """Refusals of one run's model since the last job that was generated."""

    seconds: float
    """since the first one"""
    by_worker: Mapping[str, tuple[float, str]]
    """worker -> (seconds since its last refusal, reason)"""


class RefusalStore:
    """The refusals of every run."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, run_id: str, worker: str, reason: str) -> Refusals:
        """Record a worker's refusal; returns all refusals of the run."""
        key = run_key(run_id, "refused")
        with redis_errors():
            seconds, micros = self._redis.time()
            now = float(seconds) + float(micros) / 1e6
            known = self._read(key)
            if known and now - max(_time(value) for value in known.values()) > FORGET_SECONDS:
                self._redis.delete(key)
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hsetnx(key, SINCE, json.dumps([now, ""]))
                pipe.hset(key, worker, json.dumps([now, reason]))
                pipe.execute()
            stored = self._read(key)
        since = stored.pop(SINCE, [now, ""])  # removed in the meantime: a job was generated
        return Refusals(
            now - _time(since), {name: (now - _time(value), str(value[1])) for name, value in stored.items()}
        )

    def _read(self, key: str) -> dict[str, list[object]]:
        found = self._redis.hgetall(key)
        return {decode(name): json.loads(decode(value)) for name, value in found.items()}


def _time(value: list[object]) -> float:
    assert isinstance(value[0], float)
    return value[0]
