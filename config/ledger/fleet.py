"""The fleet in the ledger: heartbeats, leases renewed and reaped, and which worker reconciles."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import redis

from config.ledger.encoding import ms
from config.ledger.store import Arg, decode, decode_list, redis_errors, run_script
from config.records import JsonObject
from config.topology import ACTIVE, RECONCILER, WORKERS, run_key, worker_key

FORGET_SECONDS = 86_400  # a worker unheard of for a day leaves the list
REAP_AT_ONCE = 1000  # leases reaped in one script call, so that it never blocks the server for long


@dataclass(frozen=True)
class LeaseRef:
    """One lease a worker holds: a job id or "stage:NAME"."""

    run_id: str
    member: str
    token: str

    @property
    def key(self) -> str:
        """The hash that holds the token."""
        return run_key(self.run_id, self.member if self.member.startswith("stage:") else f"job:{self.member}")


@dataclass(frozen=True)
class WorkerView:
    """One worker as it last said."""

    name: str
    silent_seconds: float
    fields: JsonObject


class Fleet:
    """What workers say of themselves and hold."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def renew(self, held: Sequence[LeaseRef], *, lease_seconds: float) -> list[LeaseRef]:
        """Renew these leases; answers those that another worker has taken over meanwhile."""
        lost: list[LeaseRef] = []
        for run_id in {lease.run_id for lease in held}:
            ours = {lease.member: lease for lease in held if lease.run_id == run_id}
            triples: list[Arg] = [part for lease in ours.values() for part in (lease.member, lease.key, lease.token)]
            answer = run_script(self._redis, "renew", [run_key(run_id, "leases")], [ms(lease_seconds), *triples])
            lost += [ours[name] for name in decode_list(answer)]
        return lost

    def reap(self, run_id: str) -> list[str]:
        """Owe again whatever silent workers held in this run; job ids and "stage:NAME"."""
        keys = [run_key(run_id, part) for part in ("leases", "running", "queued")]
        args: list[Arg] = [run_key(run_id, "job:"), run_key(run_id, "stage:"), REAP_AT_ONCE]
        return decode_list(run_script(self._redis, "reap", keys, args))

    def try_become_leader(self, worker: str, *, seconds: float) -> bool:
        """True when this worker is the fleet's reconciler for the next seconds."""
        return run_script(self._redis, "lead", [RECONCILER], [worker, ms(seconds)]) == 1

    def heartbeat(self, worker: str, fields: JsonObject) -> None:
        """Say what a worker is doing."""
        now = self.now()
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(WORKERS, {worker: now})
            pipe.set(worker_key(worker), json.dumps(fields), ex=FORGET_SECONDS)
            pipe.zremrangebyscore(WORKERS, "-inf", now - FORGET_SECONDS)
            pipe.execute()

    def leave(self, worker: str) -> None:
        """A worker that stops in order says so."""
        with redis_errors():
            self._redis.zrem(WORKERS, worker)
            self._redis.delete(worker_key(worker))

    def workers(self) -> list[WorkerView]:
        """Every worker heard of, by name."""
        now = self.now()
        with redis_errors():
            scored = cast(list[tuple[bytes, float]], self._redis.zrange(WORKERS, 0, -1, withscores=True))
            heard = {decode(name): at for name, at in scored}
            said = self._redis.mget([worker_key(name) for name in heard]) if heard else []
        return [
            WorkerView(name, max(0.0, now - heard[name]), json.loads(decode(fields) or "{}"))
            for name, fields in sorted(zip(heard, said, strict=True))
        ]

    def active_runs(self) -> list[str]:
        """Runs with something owed."""
        with redis_errors():
            return sorted(decode(run_id) for run_id in self._redis.smembers(ACTIVE))

    def now(self) -> float:
        """Seconds since the epoch by the server's clock, the one clock of the fleet."""
        with redis_errors():
            seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6
