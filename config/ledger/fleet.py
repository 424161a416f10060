"""The fleet in the ledger: heartbeats, renewal and reaping of leases, election of the reconciler."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import redis

from config.ledger.encoding import ms
from config.ledger.store import Arg, decode, decode_list, decode_name, redis_errors, run_script
from config.records import JsonObject, WorkerControl
from config.topology import ACTIVE, CONTROLS, QUEUES, WORKERS, reconciler_key, run_key, worker_key

FORGET_SECONDS = 86_400  # a worker without a heartbeat for a day is removed from the list
REVOKED = "cancelled"  # what cancel.lua puts in the place of a token
REAP_AT_ONCE = 1000  # leases per script call, so that one call does not block the server for long


@dataclass(frozen=True)
class LeaseRef:
    """Identifies one lease of a job or stage."""

    run_id: str
    member: str
    """a job id, or stage:NAME"""
    token: str

    @property
    def key(self) -> str:
        """Redis key of the hash that holds the token."""
        return run_key(self.run_id, self.member if self.member.startswith("stage:") else f"job:{self.member}")


@dataclass(frozen=True)
class WorkerView:
    """Last heartbeat of one worker."""

    name: str
    silent_seconds: float
    fields: JsonObject
    control: WorkerControl = WorkerControl.GO
    """what a person has asked of it"""


class Fleet:
    """Heartbeats and leases of all workers."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def renew(self, leases: Sequence[LeaseRef], *, lease_seconds: float) -> list[LeaseRef]:
        """Renew these leases; returns those that are lost because the token or the lease is gone."""
        lost: list[LeaseRef] = []
        for run_id in {lease.run_id for lease in leases}:
            by_member = {lease.member: lease for lease in leases if lease.run_id == run_id}
            triples: list[Arg] = [
                part for lease in by_member.values() for part in (lease.member, lease.key, lease.token)
            ]
            reply = run_script(self._redis, "renew", [run_key(run_id, "leases")], [ms(lease_seconds), *triples])
            lost += [by_member[member] for member in decode_list(reply)]
        return lost

    def is_cancelled(self, lease: LeaseRef) -> bool:
        """Whether a lost lease is one of a job whose run was cancelled, and that no other worker has claimed since."""
        with redis_errors():
            return decode(self._redis.hget(lease.key, "token")) == REVOKED

    def reap(self, run_id: str) -> list[str]:
        """Requeue all work of this run whose lease has expired; returns job ids and "stage:NAME"."""
        keys = [run_key(run_id, part) for part in ("leases", "running", "queued", "changed")]
        args: list[Arg] = [run_key(run_id, "job:"), run_key(run_id, "stage:"), REAP_AT_ONCE]
        return decode_list(run_script(self._redis, "reap", keys, args))

    def try_become_leader(self, worker: str, *, seconds: float, queues: Collection[str] = QUEUES) -> bool:
        """Become or stay the reconciler of these queues for the next `seconds`; False if another worker is."""
        return run_script(self._redis, "lead", [reconciler_key(queues)], [worker, ms(seconds)]) == 1

    def leader(self) -> str:
        """A worker that reconciles ledger and queues now, all of them or its role's; "" if none is elected."""
        with redis_errors():
            keys = [reconciler_key(QUEUES), *(reconciler_key([queue]) for queue in QUEUES)]
            return next((decode(worker) for worker in self._redis.mget(keys) if worker is not None), "")

    def heartbeat(self, worker: str, fields: JsonObject) -> None:
        """Store a worker's status."""
        now = self.now()
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(WORKERS, {worker: now})
            pipe.set(worker_key(worker), json.dumps(fields), ex=FORGET_SECONDS)
            pipe.zremrangebyscore(WORKERS, "-inf", now - FORGET_SECONDS)
            pipe.execute()

    def leave(self, worker: str) -> None:
        """Remove a worker that shuts down."""
        with redis_errors():
            self._redis.zrem(WORKERS, worker)
            self._redis.delete(worker_key(worker))

    def workers(self) -> list[WorkerView]:
        """All known workers, sorted by name."""
        now = self.now()
        with redis_errors():
            scored = cast(list[tuple[bytes, float]], self._redis.zrange(WORKERS, 0, -1, withscores=True))
            last_seen = {decode(name): at for name, at in scored}
            statuses = self._redis.mget([worker_key(name) for name in last_seen]) if last_seen else []
        controls = self.controls()
        return [
            WorkerView(
                name,
                max(0.0, now - last_seen[name]),
                json.loads(decode(status) or "{}"),
                controls.get(name, WorkerControl.GO),
            )
            for name, status in sorted(zip(last_seen, statuses, strict=True))
        ]

    def control(self, worker: str) -> WorkerControl:
        """What a person has asked of a worker."""
        with redis_errors():
            return WorkerControl(decode(self._redis.hget(CONTROLS, worker)))

    def controls(self) -> dict[str, WorkerControl]:
        """The workers of which a person has asked something, also those that do not run."""
        with redis_errors():
            found = self._redis.hgetall(CONTROLS)
        return {decode(name): WorkerControl(decode(control)) for name, control in found.items()}

    def set_control(self, worker: str, control: WorkerControl) -> None:
        """Ask something of a worker, which obeys at its next heartbeat. It stays until the next call."""
        with redis_errors():
            if control is WorkerControl.GO:
                self._redis.hdel(CONTROLS, worker)
            else:
                self._redis.hset(CONTROLS, worker, control.value)

    def active_runs(self) -> list[str]:
        """Runs that are neither finished nor cancelled, sorted; paused ones are among them."""
        with redis_errors():
            return sorted(decode_name(run_id) for run_id in self._redis.smembers(ACTIVE))

    def now(self) -> float:
        """Server time in seconds since the epoch; the fleet uses no other clock."""
        with redis_errors():
            seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6
