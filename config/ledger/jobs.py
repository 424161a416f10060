"""Jobs and their trajectories in the ledger: claim, finish, hand back, resubmit; every write idempotent and atomic."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import redis

from config.errors import FailureKind, StoreError, UsageError
from config.ledger.encoding import Event, events, ms, pack, unpack
from config.ledger.store import Arg, decode, decode_list, redis_errors, run_script
from config.records import JobState, Prompt, Trajectory
from config.topology import ACTIVE, Stage, run_key

CHUNK = 500  # trajectories read at a time: 500 of 10 KB are 5 MB


@dataclass(frozen=True)
class Claim:
    """A job held under a lease."""

    run_id: str
    job_id: str
    attempt: int
    token: str
    deliveries: int
    """times it was begun in this attempt, those handed back for the worker's own troubles not counted"""
    exhausted: bool
    """its workers died as often as is allowed: record that, do not run it"""
    history: tuple[Event, ...]


@dataclass(frozen=True)
class JobView:
    """What the ledger knows of one job."""

    job_id: str
    state: JobState
    attempt: int
    worker: str
    failure: FailureKind | None
    history: tuple[Event, ...]


@dataclass(frozen=True)
class JobOutcome:
    """How a finished job ended, and where."""

    job_id: str
    failure: FailureKind | None
    worker: str


Finished = Literal["stored", "last", "already", "stale", "unknown"]


class Jobs:
    """The jobs of every run."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def begin(
        self, run_id: str, job_id: str, *, worker: str, lease_seconds: float, delivery_limit: int
    ) -> Claim | Literal["terminal", "held", "unknown"]:
        """Claim a job; a word instead when it is finished, held by a living worker, or not in this run."""
        token = secrets.token_hex(8)
        keys = [*self._states(run_id), run_key(run_id, "leases"), self._job(run_id, job_id)]
        answer = decode_list(
            run_script(self._redis, "begin", keys, [job_id, token, worker, ms(lease_seconds), delivery_limit])
        )
        match answer[0]:
            case "terminal" | "held" | "unknown" as word:
                return word
        return Claim(run_id, job_id, int(answer[1]), token, int(answer[3]), answer[0] == "exhausted", events(answer[2]))

    def finish(self, trajectory: Trajectory, *, worker: str, token: str = "") -> Finished:
        """Store a trajectory, completed or failed; the first of an attempt wins and "last" means curation is owed.

        With the token of a claim, a failure counts only while that claim holds; it is "stale" afterwards.
        """
        run_id, job_id = trajectory.run_id, trajectory.job_id
        state = JobState.GENERATED if trajectory.outcome == "completed" else JobState.FAILED
        kind = trajectory.failure.kind.value if trajectory.failure else ""
        keys = [
            *self._states(run_id),
            run_key(run_id, "leases"),
            self._job(run_id, job_id),
            self._trajectory(run_id, job_id, trajectory.attempt),
            run_key(run_id, f"stage:{Stage.CURATE}"),
            run_key(run_id, "rate"),
            run_key(run_id, "by_worker"),
            run_key(run_id, f"kind:{kind}"),
        ]
        args: list[Arg] = [
            job_id,
            trajectory.attempt,
            state.value,
            pack(trajectory),
            worker,
            kind,
            ms(trajectory.seconds),
            token,
        ]
        answer = decode(run_script(self._redis, "finish", keys, args))
        match answer:
            case "stored" | "last" | "already" | "stale" | "unknown" as word:
                return word
        raise StoreError(f"the ledger answered {answer!r} to a finished job")

    def release(self, claim: Claim, *, why: str, consume_attempt: bool) -> bool:
        """Hand a job back to the queue's debt; `spent` when this delivery counts against its limit."""
        keys = [run_key(claim.run_id, part) for part in ("queued", "running", "leases")]
        args: list[Arg] = [claim.job_id, claim.token, why, int(consume_attempt)]
        return run_script(self._redis, "release", [*keys, self._job(claim.run_id, claim.job_id)], args) == 1

    def prompt(self, run_id: str, job_id: str) -> Prompt:
        """The prompt of a job; StoreError when the run has no such job."""
        with redis_errors():
            found = self._redis.hget(run_key(run_id, "prompts"), job_id)
        if found is None:
            raise StoreError(f"run {run_id!r} has no job {job_id!r}")
        return Prompt.model_validate_json(decode(found))

    def prompts(self, run_id: str, job_ids: Sequence[str]) -> list[Prompt]:
        """The prompts of many jobs, in the same order; StoreError when the run has no such job."""
        found: list[Prompt] = []
        for start in range(0, len(job_ids), CHUNK):
            with redis_errors():
                texts_ = self._redis.hmget(run_key(run_id, "prompts"), list(job_ids[start : start + CHUNK]))
            if None in texts_:
                raise StoreError(f"run {run_id!r} has no job {job_ids[start + texts_.index(None)]!r}")
            found += [Prompt.model_validate_json(decode(one)) for one in texts_]
        return found

    def facts(self, run_id: str, job_ids: Sequence[str]) -> list[JobOutcome]:
        """How many jobs ended and on which worker, in the same order."""
        found: list[JobOutcome] = []
        for start in range(0, len(job_ids), CHUNK):
            part = job_ids[start : start + CHUNK]
            told_ = iter(decode_list(run_script(self._redis, "facts", [], [run_key(run_id, "job:"), *part])))
            rows = zip(part, told_, told_, strict=True)
            found += [JobOutcome(job_id, FailureKind(kind) if kind else None, worker) for job_id, kind, worker in rows]
        return found

    def ids(self, run_id: str, *states: JobState) -> list[str]:
        """Job ids in the order of the prompts; all of them when no state is named."""
        with redis_errors():
            keys = [run_key(run_id, state.value) for state in states or JobState]
            return sorted(decode(member) for member in self._redis.sunion(keys))

    def counts(self, run_id: str) -> dict[JobState, int]:
        """Jobs per state; they sum to the run's total at every instant."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            for state in JobState:
                pipe.scard(run_key(run_id, state.value))
            return dict(zip(JobState, pipe.execute(), strict=True))

    def failure_counts(self, run_id: str) -> dict[FailureKind, int]:
        """Failed jobs per kind, kinds without any left out."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            for kind in FailureKind:
                pipe.scard(run_key(run_id, f"kind:{kind.value}"))
            return {kind: count for kind, count in zip(FailureKind, pipe.execute(), strict=True) if count}

    def view(self, run_id: str, job_id: str) -> JobView:
        """All the ledger knows of one job but its trajectories; UsageError when there is no such job."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            for state in JobState:
                pipe.sismember(run_key(run_id, state.value), job_id)
            pipe.hgetall(self._job(run_id, job_id))
            *member, fields = pipe.execute()
        found = [state for state, is_in in zip(JobState, member, strict=True) if is_in]
        if not found:
            raise UsageError(f"run {run_id!r} has no job {job_id!r}; `applejack status {run_id}` lists what it has")
        job = {decode(key): decode(value) for key, value in fields.items()}
        return JobView(
            job_id=job_id,
            state=found[0],
            attempt=int(job.get("attempt", "1")),
            worker=job.get("worker", ""),
            failure=FailureKind(job["kind"]) if job.get("kind") else None,
            history=events(job.get("history")),
        )

    def trajectory(self, run_id: str, job_id: str, attempt: int) -> Trajectory | None:
        """The trajectory of one attempt, None when it has none."""
        with redis_errors():
            blob = self._redis.get(self._trajectory(run_id, job_id, attempt))
        return unpack(blob) if isinstance(blob, bytes) else None

    def trajectories(self, run_id: str) -> Iterator[Trajectory]:
        """The current trajectory of every terminal job in the order of the prompts, CHUNK in memory at a time."""
        ids = self.ids(run_id, JobState.GENERATED, JobState.FAILED)
        for chunk in (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                for job_id in chunk:
                    pipe.hget(self._job(run_id, job_id), "attempt")
                attempts = [int(attempt or 1) for attempt in pipe.execute()]
                keys = [self._trajectory(run_id, job, attempt) for job, attempt in zip(chunk, attempts, strict=True)]
                blobs = self._redis.mget(keys)
            for key, blob in zip(keys, blobs, strict=True):
                if blob is None:
                    raise StoreError(f"the ledger has no {key!r} although its job is finished; the store lost data")
                yield unpack(cast(bytes, blob))

    def resubmit(self, run_id: str, job_ids: Sequence[str], *, train: bool, evaluate: bool) -> int:
        """Owe these terminal jobs again under their next attempt, and curation anew; all or none."""
        stages = [run_key(run_id, f"stage:{stage}") for stage in Stage]
        keys = [*self._states(run_id), run_key(run_id, "run"), ACTIVE, *stages]
        asked = ["waiting" if wanted else "skipped" for wanted in (train, evaluate)]
        prefixes = [run_key(run_id, "job:"), run_key(run_id, "kind:")]
        return int(decode(run_script(self._redis, "resubmit", keys, [*prefixes, *asked, *job_ids])))

    @staticmethod
    def _states(run_id: str) -> list[str]:
        return [run_key(run_id, state.value) for state in JobState]

    @staticmethod
    def _job(run_id: str, job_id: str) -> str:
        return run_key(run_id, f"job:{job_id}")

    @staticmethod
    def _trajectory(run_id: str, job_id: str, attempt: int) -> str:
        return run_key(run_id, f"trajectory:{job_id}:{attempt}")
