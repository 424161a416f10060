"""Jobs and their trajectories in the ledger: claim, finish, release, resubmit. Every write is idempotent and atomic.

The file is long because it holds every query about jobs, one short method each.
"""

import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import redis

from config.errors import FailureKind, RejectionReason, StoreError, UsageError
from config.ledger.encoding import Event, events, ms, pack, parse, unpack
from config.ledger.store import Arg, decode, decode_list, redis_errors, run_script
from config.records import Failure, JobState, Prompt, Trajectory, Verdict
from config.topology import ACTIVE, Stage, run_key

TRUNCATED = RejectionReason.TRUNCATED.value  # kept in the place of a failure kind, for the job and in its set
UNREADABLE = "(unreadable)"  # in the place of a prompt
CHUNK = 500  # trajectories read at a time: 500 of 10 KB are 5 MB
SCANNED = 1000  # prompts or verdicts of one HSCAN, which blocks Redis for about a millisecond


@dataclass(frozen=True)
class Claim:
    """A job leased by this worker."""

    run_id: str
    job_id: str
    attempt: int
    token: str
    deliveries: int
    """starts in this attempt, without those that were released because of a worker's own trouble"""
    exhausted: bool
    """the delivery limit is exceeded: record a failure instead of running the job"""
    history: tuple[Event, ...]


@dataclass(frozen=True)
class JobView:
    """State and history of one job."""

    job_id: str
    state: JobState
    attempt: int
    worker: str
    failure: FailureKind | None
    history: tuple[Event, ...]


@dataclass(frozen=True)
class JobRow:
    """One line of a list of jobs."""

    job_id: str
    state: JobState
    attempt: int
    worker: str
    """that started it last; "" before the first start"""
    failure: FailureKind | None
    truncated: bool
    """max_tokens cut its last model turn"""
    finished: float | None
    """seconds since the epoch, of its newest trajectory; None before the first"""
    changed: float | None = None
    """seconds since the epoch, of the last change by a worker; None if none took it since the run was cancelled"""


@dataclass(frozen=True)
class JobOutcome:
    """Failure kind (None if completed) and worker of a finished job."""

    job_id: str
    failure: FailureKind | None
    truncated: bool
    """max_tokens cut its last model turn; it completed, and curation will reject it"""
    worker: str


Refusal = Literal["terminal", "held", "unknown", "paused", "cancelled"]
Finished = Literal["stored", "last", "already", "stale", "unknown"]


class Jobs:
    """The jobs of every run."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def begin(
        self, run_id: str, job_id: str, *, worker: str, lease_seconds: float, delivery_limit: int
    ) -> Claim | Refusal:
        """Claim a job. Returns a word instead if it is finished, leased ("held") or not in this run, or if the run is
        paused or cancelled.
        """
        token = secrets.token_hex(8)
        keys = [
            *self._states(run_id),
            run_key(run_id, "leases"),
            self._job(run_id, job_id),
            run_key(run_id, "run"),
            run_key(run_id, "changed"),
        ]
        reply = decode_list(
            run_script(self._redis, "begin", keys, [job_id, token, worker, ms(lease_seconds), delivery_limit])
        )
        match reply[0]:
            case "terminal" | "held" | "unknown" | "paused" | "cancelled" as refusal:
                return refusal
        verdict, attempt, history, deliveries = reply
        return Claim(run_id, job_id, int(attempt), token, int(deliveries), verdict == "exhausted", events(history))

    def finish(self, trajectory: Trajectory, *, worker: str, token: str = "") -> Finished:
        """Store a trajectory, completed or failed; the first of an attempt wins.

        "last" means that no job is left, so curation is ready. With a token, a failure is stored only while that claim
        is valid; after that the result is "stale".
        """
        run_id, job_id = trajectory.run_id, trajectory.job_id
        state = JobState.GENERATED if trajectory.outcome == "completed" else JobState.FAILED
        kind = trajectory.failure.kind.value if trajectory.failure else TRUNCATED if trajectory.truncated else ""
        keys = [
            *self._states(run_id),
            run_key(run_id, "leases"),
            self._job(run_id, job_id),
            self._trajectory(run_id, job_id, trajectory.attempt),
            run_key(run_id, f"stage:{Stage.CURATE}"),
            run_key(run_id, "rate"),
            run_key(run_id, "by_worker"),
            run_key(run_id, f"kind:{kind}"),
            run_key(run_id, "refused"),
            run_key(run_id, "lost_calls"),
            run_key(run_id, "run"),
            run_key(run_id, "changed"),
        ]
        teacher = trajectory.provenance.teacher if trajectory.provenance else ""
        finished: list[Arg] = [job_id, trajectory.attempt, state.value, pack(trajectory), worker, kind]
        args: list[Arg] = [*finished, ms(trajectory.seconds), token, teacher, trajectory.lost_calls]
        reply = decode(run_script(self._redis, "finish", keys, args))
        match reply:
            case "stored" | "last" | "already" | "stale" | "unknown" as result:
                return result
        raise StoreError(f"finish.lua returned {reply!r} for job {job_id!r}; do all workers run the same version?")

    def release(self, claim: Claim, *, why: str, consume_attempt: bool) -> bool:
        """Requeue a job; False if the claim is no longer valid. `consume_attempt`: this delivery counts."""
        keys = [run_key(claim.run_id, part) for part in ("queued", "running", "leases")]
        keys += [self._job(claim.run_id, claim.job_id), run_key(claim.run_id, "changed")]
        args: list[Arg] = [claim.job_id, claim.token, why, int(consume_attempt)]
        return run_script(self._redis, "release", keys, args) == 1

    def prompt(self, run_id: str, job_id: str) -> Prompt:
        """Prompt of a job; StoreError if the run does not have this job."""
        with redis_errors():
            found = self._redis.hget(run_key(run_id, "prompts"), job_id)
        if found is None:
            raise StoreError(f"run {run_id!r} has no job {job_id!r}")
        return parse(Prompt, decode(found), f"the prompt of job {job_id!r}")

    def prompts(self, run_id: str, job_ids: Sequence[str]) -> list[Prompt]:
        """Prompts of many jobs, in the same order; StoreError if the run does not have one of them."""
        found: list[Prompt] = []
        for job_id, blob in self._prompt_texts(run_id, job_ids):
            if blob is None:
                raise StoreError(f"run {run_id!r} has no job {job_id!r}")
            found.append(parse(Prompt, decode(blob), f"a prompt of run {run_id!r}"))
        return found

    def readable_prompts(self, run_id: str, job_ids: Sequence[str]) -> list[Prompt | None]:
        """Prompts of many jobs, in the same order; None for each that is missing or cannot be read."""
        found: list[Prompt | None] = []
        for _, blob in self._prompt_texts(run_id, job_ids):
            try:
                found.append(Prompt.model_validate_json(blob or b""))
            except ValueError:
                found.append(None)
        return found

    def _prompt_texts(self, run_id: str, job_ids: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        for start in range(0, len(job_ids), CHUNK):
            chunk = list(job_ids[start : start + CHUNK])
            with redis_errors():
                blobs = cast(list[bytes | None], self._redis.hmget(run_key(run_id, "prompts"), chunk))
            yield from zip(chunk, blobs, strict=True)

    def scan_prompts(self, run_id: str) -> Iterator[dict[str, Prompt]]:
        """Yield the prompts of a run in parts, by job id and in no order, so that Redis serves others in between.

        A prompt can come twice.
        """
        for part in self._scan(run_key(run_id, "prompts")):
            yield {job_id: Prompt.model_validate_json(text) for job_id, text in part}

    def scan_verdicts(self, run_id: str) -> Iterator[dict[str, Verdict]]:
        """Yield the verdicts of the current dataset in parts, by job id.

        If curation replaces them meanwhile, parts of both sets are among them: read again when it has finished.
        """
        for part in self._scan(run_key(run_id, "verdicts")):
            yield {job_id: Verdict.model_validate_json(text) for job_id, text in part}

    def _scan(self, key: str) -> Iterator[list[tuple[str, str]]]:
        cursor = -1
        while cursor:
            with redis_errors():
                cursor, found = self._redis.hscan(key, max(cursor, 0), count=SCANNED)
            yield [(decode(name), decode(value)) for name, value in cast(dict[bytes, bytes], found).items()]

    def outcomes(self, run_id: str, job_ids: Sequence[str]) -> list[JobOutcome]:
        """Outcomes of many jobs, in the same order."""
        outcomes: list[JobOutcome] = []
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            cells = decode_list(run_script(self._redis, "outcomes", [], [run_key(run_id, "job:"), *chunk]))
            outcomes += [
                JobOutcome(job_id, _failure(kind), kind == TRUNCATED, worker)
                for job_id, kind, worker in zip(chunk, cells[::2], cells[1::2], strict=True)
            ]
        return outcomes

    def rows(self, run_id: str, job_ids: Sequence[str]) -> list[JobRow]:
        """State and outcome of many jobs, in the same order."""
        keys = [run_key(run_id, state.value) for state in JobState if state is not JobState.QUEUED]
        keys.append(run_key(run_id, "changed"))
        rows: list[JobRow] = []
        for start in range(0, len(job_ids), CHUNK):
            chunk = job_ids[start : start + CHUNK]
            text = decode(run_script(self._redis, "rows", keys, [run_key(run_id, "job:"), *chunk]))
            cells = iter(text.split("\0"))
            rows += [
                JobRow(
                    job_id, JobState(state), int(attempt or 1), worker, _failure(kind), kind == TRUNCATED,
                    int(finished) / 1000 if finished else None, float(changed) / 1000 if changed else None,
                )
                for job_id, state, attempt, worker, kind, finished, changed in zip(
                    chunk, cells, cells, cells, cells, cells, cells, strict=True
                )
            ]  # fmt: skip
        return rows

    def changed(self, run_id: str, *, since: float) -> tuple[list[str], float]:
        """Jobs that changed after `since`, and the time of the newest change; seconds since the epoch.

        Changes of many jobs at once, such as a resubmission, are not among them: they raise `RunView.bulk`.
        """
        with redis_errors():
            found = self._redis.zrange(
                run_key(run_id, "changed"), f"({ms(since)}", "+inf", byscore=True, withscores=True
            )
        scored = cast(list[tuple[bytes, float]], found)
        return [decode(job_id) for job_id, _ in scored], scored[-1][1] / 1000 if scored else since

    def ids(self, run_id: str, *states: JobState) -> list[str]:
        """Job ids in the order of the prompts; those of all states if none is given."""
        with redis_errors():
            keys = [run_key(run_id, state.value) for state in states or JobState]
            return sorted(decode(member) for member in self._redis.sunion(keys))

    def counts(self, run_id: str) -> dict[JobState, int]:
        """Number of jobs per state; they always sum to the run's total."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            for state in JobState:
                pipe.scard(run_key(run_id, state.value))
            return dict(zip(JobState, pipe.execute(), strict=True))

    def failure_counts(self, run_id: str) -> dict[FailureKind, int]:
        """Number of failed jobs per kind, without zeros."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            for kind in FailureKind:
                pipe.scard(run_key(run_id, f"kind:{kind.value}"))
            return {kind: count for kind, count in zip(FailureKind, pipe.execute(), strict=True) if count}

    def truncated_count(self, run_id: str) -> int:
        """Number of generated jobs whose last model turn max_tokens cut."""
        with redis_errors():
            return int(self._redis.scard(run_key(run_id, f"kind:{TRUNCATED}")))

    def lost_calls(self, run_id: str) -> dict[str, int]:
        """Calls per teacher that its model server dropped, in all attempts; only teachers with any."""
        with redis_errors():
            found = self._redis.hgetall(run_key(run_id, "lost_calls"))
        return {decode(teacher): int(count) for teacher, count in sorted(found.items())}

    def view(self, run_id: str, job_id: str) -> JobView:
        """State and history of one job; UsageError if the run does not have it."""
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            for state in JobState:
                pipe.sismember(run_key(run_id, state.value), job_id)
            pipe.hgetall(self._job(run_id, job_id))
            *memberships, fields = pipe.execute()
        states = [state for state, is_member in zip(JobState, memberships, strict=True) if is_member]
        if not states:
            raise UsageError(f"run {run_id!r} has no job {job_id!r}; `applejack status {run_id}` lists its jobs")
        job = {decode(key): decode(value) for key, value in fields.items()}
        return JobView(
            job_id=job_id,
            state=states[0],
            attempt=int(job.get("attempt", "1")),
            worker=job.get("worker", ""),
            failure=_failure(job.get("kind", "")),
            history=events(job.get("history")),
        )

    def trajectory(self, run_id: str, job_id: str, attempt: int) -> Trajectory | None:
        """Trajectory of one attempt; None if it has none."""
        with redis_errors():
            blob = self._redis.get(self._trajectory(run_id, job_id, attempt))
        return self._readable(run_id, job_id, attempt, blob) if isinstance(blob, bytes) else None

    def trajectories(self, run_id: str) -> Iterator[Trajectory]:
        """Yield the current trajectory of each finished job, in the order of the prompts, read CHUNK at a time."""
        ids = self.ids(run_id, JobState.GENERATED, JobState.FAILED)
        for chunk in (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                for job_id in chunk:
                    pipe.hget(self._job(run_id, job_id), "attempt")
                attempts = [int(attempt or 1) for attempt in pipe.execute()]
            yield from self.attempts(run_id, list(zip(chunk, attempts, strict=True)))

    def attempts(self, run_id: str, wanted: Sequence[tuple[str, int]]) -> Iterator[Trajectory]:
        """Yield the trajectories of these jobs and attempts in this order, read CHUNK at a time.

        StoreError if one is missing.
        """
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            keys = [self._trajectory(run_id, job, attempt) for job, attempt in chunk]
            with redis_errors():
                blobs = self._redis.mget(keys)
            for (job_id, attempt), key, blob in zip(chunk, keys, blobs, strict=True):
                if blob is None:
                    raise StoreError(f"the ledger has no {key!r} although its job is finished; Redis has lost data")
                yield self._readable(run_id, job_id, attempt, cast(bytes, blob))

    def _readable(self, run_id: str, job_id: str, attempt: int, blob: bytes) -> Trajectory:
        """The stored trajectory, or a failed one in the place of one that cannot be read, so that no job is missing."""
        try:
            return unpack(blob)
        except (zlib.error, ValueError) as error:
            kind = FailureKind.INTERNAL
            reason = f"its trajectory in the ledger cannot be read: {type(error).__name__}"
            return Trajectory(
                run_id=run_id, job_id=job_id, attempt=attempt, prompt=self._prompt_text(run_id, job_id),
                outcome="failed", failure=Failure(kind=kind, message=reason),
            )  # fmt: skip

    def _prompt_text(self, run_id: str, job_id: str) -> str:
        try:
            return self.prompt(run_id, job_id).prompt
        except (StoreError, ValueError):
            return UNREADABLE

    def resubmit(self, run_id: str, job_ids: Sequence[str], *, train: bool, evaluate: bool) -> int:
        """Requeue finished jobs under their next attempt and reset the stages: all jobs or none."""
        stages = [run_key(run_id, f"stage:{stage}") for stage in Stage]
        ended = (JobState.QUEUED, JobState.RUNNING, JobState.GENERATED, JobState.FAILED)
        keys = [run_key(run_id, state.value) for state in ended]
        keys += [run_key(run_id, "run"), ACTIVE, *stages, run_key(run_id, "refused")]
        states = ["waiting" if requested else "skipped" for requested in (train, evaluate)]
        prefixes = [run_key(run_id, "job:"), run_key(run_id, "kind:")]
        return int(decode(run_script(self._redis, "resubmit", keys, [*prefixes, *states, *job_ids])))

    @staticmethod
    def _states(run_id: str) -> list[str]:
        return [run_key(run_id, state.value) for state in JobState]

    @staticmethod
    def _job(run_id: str, job_id: str) -> str:
        return run_key(run_id, f"job:{job_id}")

    @staticmethod
    def _trajectory(run_id: str, job_id: str, attempt: int) -> str:
        return run_key(run_id, f"trajectory:{job_id}:{attempt}")


def _failure(kind: str) -> FailureKind | None:
    """The failure kind that a job's hash holds; None for a completed job."""
    return FailureKind(kind) if kind and kind != TRUNCATED else None
