"""The run ledger in Redis: the truth about a run. Nothing reads run state from Celery's result backend.

Keys of a run, all under applejack:run:ID: (config/topology.run_key)
    run           hash     spec, fingerprint, total, created_ms, version (of the dataset)
    prompts       hash     job_id -> Prompt
    queued running generated failed      sets of job ids; a job is in exactly one of them
    kind:K        set      jobs that failed as K
    job:J         hash     attempt, deliveries, token, worker, history
    trajectory:J:A   string   the compressed trajectory of attempt A
    leases        zset     job id or stage:NAME -> when its worker is taken for dead, server milliseconds
    stage:S       hash     state, token, worker, result, error, history
    progress:S    list     what a stage reports while it runs
    pins          hash     workspace as the run names it -> Pin
    verdicts      hash     job_id -> Verdict of the current dataset
    files:NAME    hash     dataset, adapter, report: the folders themselves
    sending       string   there while a producer writes the messages of a big run
    rate by_worker    hashes   finished jobs per ten seconds and per worker
What changes more than one of them is one Lua script in lua/, so it happens whole or not at all.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

import redis

from config.errors import StoreError, UsageError
from config.ledger.files import Files
from config.ledger.fleet import Fleet
from config.ledger.jobs import Jobs
from config.ledger.stages import Stages
from config.ledger.store import Arg, decode, ledger_client, redis_errors, run_script
from config.records import JobState, Pin, Prompt, Spec, StageState, Verdict, job_id
from config.topology import ACTIVE, RUNS, Stage, run_key

BATCH = 2000  # prompts written per round trip
SENDING_MS = 120_000  # 100,000 messages take 12 to 50 s; a producer that died is waited for so long
SHOWN = 80  # characters of a word that names no run
SUBMIT_LOCK_MS = 60_000  # longer than writing one batch takes; renewed with each


@dataclass(frozen=True)
class Created:
    """What creating a run came to."""

    new: bool
    """False when the same run was there already"""
    job_ids: tuple[str, ...]


@dataclass(frozen=True)
class RunView:
    """A run as it was asked for."""

    spec: Spec
    total: int
    created: float
    """seconds since the epoch"""
    version: int
    """of its dataset: 1, and one more for each resubmission"""


class Ledger:
    """One Redis, seen as runs. `jobs`, `stages`, `fleet` and `files` hold what concerns each."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self.jobs = Jobs(client)
        self.stages = Stages(client)
        self.fleet = Fleet(client)
        self.files = Files(client)

    @classmethod
    def connect(cls, url: str) -> Ledger:
        """The ledger at a Redis URL; it connects on first use."""
        return cls(ledger_client(url))

    def check(self) -> None:
        """StoreError unless the server answers, with a password it accepts."""
        with redis_errors():
            self._redis.ping()

    def create(self, spec: Spec, prompts: Sequence[Prompt]) -> Created:
        """Write a run and its jobs: all of it or nothing anyone can see.

        The same content again answers new=False and changes nothing; UsageError when the run id is taken by another.
        """
        ids = tuple(job_id(number, prompt) for number, prompt in enumerate(prompts, start=1))
        ours = fingerprint(spec, ids)
        if self._known(spec.run_id, ours):
            return Created(new=False, job_ids=ids)
        with self._submitting(spec.run_id) as lock:
            if self._known(spec.run_id, ours):  # another producer was faster
                return Created(new=False, job_ids=ids)
            self._write_prompts(spec.run_id, ids, prompts)
            stages = [run_key(spec.run_id, f"stage:{stage}") for stage in Stage]
            wanted = (spec.train, spec.train and spec.evaluate)
            asked = [StageState.WAITING.value if stage else StageState.SKIPPED.value for stage in wanted]
            keys = [run_key(spec.run_id, "run"), RUNS, ACTIVE, *stages, run_key(spec.run_id, "submit")]
            args: list[Arg] = [spec.run_id, spec.model_dump_json(), ours, len(ids), *asked, lock]
            if run_script(self._redis, "create", keys, args) != 1:
                raise StoreError(f"run {spec.run_id!r} took too long to write; nothing was queued, try again")
        return Created(new=True, job_ids=ids)

    def run(self, run_id: str) -> RunView:
        """A run as it was asked for; UsageError when there is none of that id."""
        with redis_errors():
            fields = {decode(key): decode(value) for key, value in self._redis.hgetall(run_key(run_id, "run")).items()}
        if not fields:
            shown = run_id if len(run_id) <= SHOWN else f"{run_id[:SHOWN]}..."
            raise UsageError(f"there is no run {shown!r}; `applejack status` lists the runs")
        return RunView(
            spec=Spec.model_validate_json(fields["spec"]),
            total=int(fields["total"]),
            created=int(fields["created_ms"]) / 1000,
            version=int(fields["version"]),
        )

    def run_ids(self) -> list[str]:
        """Every run, the newest first."""
        with redis_errors():
            return [decode(run_id) for run_id in self._redis.zrevrange(RUNS, 0, -1)]

    def pin(self, run_id: str, workspace: str, pin: Pin) -> Pin:
        """The code this run reads under a workspace's name: the first worker to open it decides, the others compare."""
        key = run_key(run_id, "pins")
        with redis_errors():
            self._redis.hsetnx(key, workspace, pin.model_dump_json())
            return Pin.model_validate_json(decode(self._redis.hget(key, workspace)))

    def pinned(self, run_id: str, workspace: str) -> Pin | None:
        """The code this run reads under a workspace's name, None before the first worker has opened it."""
        with redis_errors():
            found = self._redis.hget(run_key(run_id, "pins"), workspace)
        return Pin.model_validate_json(decode(found)) if found is not None else None

    def set_verdicts(self, run_id: str, verdicts: Iterable[Verdict]) -> None:
        """Replace what curation decided; readers see the old set whole or the new set whole."""
        key = run_key(run_id, "verdicts")
        fresh = f"{key}:new"
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(fresh)
            for number, verdict in enumerate(verdicts, start=1):
                pipe.hset(fresh, verdict.job_id, verdict.model_dump_json())
                if number % BATCH == 0:
                    pipe.execute()
            pipe.execute()
            self._redis.rename(fresh, key)

    def verdict(self, run_id: str, job_id: str) -> Verdict | None:
        """What curation decided about one job, None when it has not been curated."""
        with redis_errors():
            found = self._redis.hget(run_key(run_id, "verdicts"), job_id)
        return Verdict.model_validate_json(decode(found)) if found is not None else None

    def verdicts(self, run_id: str) -> dict[str, Verdict]:
        """Every verdict of the current dataset, by job id."""
        with redis_errors():
            found = self._redis.hgetall(run_key(run_id, "verdicts"))
        return {decode(key): Verdict.model_validate_json(decode(value)) for key, value in found.items()}

    def remove(self, run_id: str) -> None:
        """Forget a run: out of the lists first, so that nobody sees it half gone."""
        with redis_errors():
            self._redis.zrem(RUNS, run_id)
            self._redis.srem(ACTIVE, run_id)
            keys = self._redis.scan_iter(match=run_key(run_id, "*"), count=1000)
            while part := list(islice(keys, BATCH)):
                self._redis.unlink(*part)

    def counters(self, run_id: str) -> tuple[dict[int, int], dict[str, int]]:
        """Finished jobs per ten seconds (epoch seconds // 10) and per "worker|state"."""
        with redis_errors():
            rate = {int(key): int(value) for key, value in self._redis.hgetall(run_key(run_id, "rate")).items()}
            done = {decode(key): int(value) for key, value in self._redis.hgetall(run_key(run_id, "by_worker")).items()}
        return rate, done

    def _known(self, run_id: str, ours: str) -> bool:
        with redis_errors():
            known = decode(self._redis.hget(run_key(run_id, "run"), "fingerprint"))
        if known and known != ours:
            raise UsageError(
                f"run {run_id!r} exists with other prompts or settings; choose another --run, nothing was changed"
            )
        return bool(known)

    @contextmanager
    def sending(self, run_id: str) -> Iterator[None]:
        """While a producer writes the messages of a big run, what has none yet is not taken for lost."""
        key = run_key(run_id, "sending")
        with redis_errors():
            self._redis.set(key, 1, px=SENDING_MS)
        try:
            yield
        finally:
            with suppress(StoreError), redis_errors():  # it expires by itself
                self._redis.delete(key)

    def being_sent(self, run_id: str) -> bool:
        """Whether a producer is writing this run's messages."""
        with redis_errors():
            return bool(self._redis.exists(run_key(run_id, "sending")))

    @contextmanager
    def _submitting(self, run_id: str) -> Iterator[str]:
        """One producer at a time writes a run; the lock's token, which create.lua asks for."""
        key, token = run_key(run_id, "submit"), secrets.token_hex(8)
        with redis_errors():
            if not self._redis.set(key, token, nx=True, px=SUBMIT_LOCK_MS):
                raise StoreError(f"run {run_id!r} is being submitted by another process; try again in a minute")
        try:
            yield token
        finally:
            with suppress(StoreError), redis_errors():  # it expires by itself
                if decode(self._redis.get(key)) == token:
                    self._redis.delete(key)

    def _write_prompts(self, run_id: str, ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
        """Write what create.lua makes visible; a submit cut short leaves only keys that the next one overwrites."""
        with redis_errors():
            self._redis.delete(run_key(run_id, "prompts"), run_key(run_id, JobState.QUEUED.value))
            for start in range(0, len(ids), BATCH):
                part = ids[start : start + BATCH]
                texts = (prompt.model_dump_json(exclude_defaults=True) for prompt in prompts[start : start + BATCH])
                with self._redis.pipeline(transaction=True) as pipe:
                    pipe.hset(run_key(run_id, "prompts"), mapping=dict(zip(part, texts, strict=True)))
                    pipe.sadd(run_key(run_id, JobState.QUEUED.value), *part)
                    pipe.pexpire(run_key(run_id, "submit"), SUBMIT_LOCK_MS)
                    pipe.execute()


def fingerprint(spec: Spec, job_ids: Sequence[str]) -> str:
    """Hex sha256 of what a run is asked to do; job ids hold the content of the prompts."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    for item in job_ids:
        digest.update(item.encode())
    return digest.hexdigest()
