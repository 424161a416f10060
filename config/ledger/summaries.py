"""Summaries of many runs in two round trips, for a list of runs: no prompt, trajectory or report is read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import redis

from config.ledger.store import decode, redis_errors
from config.records import JobState, JsonObject, RunControl, StageState
from config.topology import Stage, run_key

BUCKET_SECONDS = 10  # of the hash of finished jobs, see finish.lua
RECENT_BUCKETS = 13  # the last two minutes, and the bucket that is being filled
RUN_FIELDS = ("total", "created_ms", "control", "version")
STAGE_FIELDS = ("state", "worker", "error", "finished_ms")


@dataclass(frozen=True)
class StageSummary:
    """State of one stage, without its result."""

    stage: Stage
    state: StageState
    worker: str
    error: str
    finished: float | None
    """seconds since the epoch"""


@dataclass(frozen=True)
class RunSummary:
    """What a list shows of one run."""

    run_id: str
    total: int
    created: float
    """seconds since the epoch"""
    version: int
    control: RunControl
    counts: dict[JobState, int]
    stages: tuple[StageSummary, ...]
    curated: JsonObject
    """the result of the curation; empty unless it is done"""
    recent: dict[int, int]
    """finished jobs of the last two minutes, by epoch seconds // 10"""
    workers: tuple[str, ...]
    """that hold one of its jobs or stages now, sorted"""

    @property
    def pending(self) -> int:
        """Jobs that have not ended."""
        return self.counts[JobState.QUEUED] + self.counts[JobState.RUNNING]


class Summaries:
    """Reads many runs at once."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def read(self, run_ids: Sequence[str], *, now: float) -> list[RunSummary]:
        """The runs in the order of their ids, without those that do not exist. `now`: the server's clock, seconds."""
        buckets = [int(now) // BUCKET_SECONDS - age for age in range(RECENT_BUCKETS)]
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for run_id in run_ids:
                _ask(pipe, run_id, buckets)
            replies = pipe.execute()
        step = len(replies) // len(run_ids) if run_ids else 0
        read = [_parse(run_id, replies[n * step : (n + 1) * step], buckets) for n, run_id in enumerate(run_ids)]
        found = [summary for summary in read if summary]
        holders = self._holders([summary.run_id for summary in found if summary.counts[JobState.RUNNING]])
        return [_with_workers(summary, holders.get(summary.run_id, set())) for summary in found]

    def _holders(self, run_ids: Sequence[str]) -> dict[str, set[str]]:
        """The workers of the running jobs of each run."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for run_id in run_ids:
                pipe.smembers(run_key(run_id, JobState.RUNNING.value))
            running = [[decode(job) for job in jobs] for jobs in pipe.execute()]
            for run_id, jobs in zip(run_ids, running, strict=True):
                for job in jobs:
                    pipe.hget(run_key(run_id, f"job:{job}"), "worker")
            workers = iter([decode(worker) for worker in pipe.execute()])
        return {run_id: {next(workers) for _ in jobs} - {""} for run_id, jobs in zip(run_ids, running, strict=True)}


def _ask(pipe: redis.client.Pipeline, run_id: str, buckets: Sequence[int]) -> None:
    pipe.hmget(run_key(run_id, "run"), list(RUN_FIELDS))
    for state in JobState:
        pipe.scard(run_key(run_id, state.value))
    for stage in Stage:
        pipe.hmget(run_key(run_id, f"stage:{stage}"), list(STAGE_FIELDS))
    pipe.hget(run_key(run_id, f"stage:{Stage.CURATE}"), "result")
    pipe.hmget(run_key(run_id, "rate"), [str(bucket) for bucket in buckets])


def _parse(run_id: str, replies: list[object], buckets: Sequence[int]) -> RunSummary | None:
    run, *rest = replies
    total, created, control, version = map(decode, run) if isinstance(run, list) else [""] * 4
    if not total:  # removed since its id was read
        return None
    counts = dict(zip(JobState, (int(decode(count)) for count in rest), strict=False))
    *heads, result, recent = rest[len(counts) :]
    stages = tuple(_stage(stage, head) for stage, head in zip(Stage, heads, strict=True))
    curated = decode(result) if stages[0].state is StageState.DONE else ""
    finished = zip(buckets, recent if isinstance(recent, list) else [], strict=False)
    return RunSummary(
        run_id=run_id,
        total=int(total),
        created=int(created) / 1000,
        version=int(version or 1),
        control=RunControl(control),
        counts=counts,
        stages=stages,
        curated=json.loads(curated or "{}"),
        recent={bucket: int(count) for bucket, count in finished if count},
        workers=(),
    )


def _stage(stage: Stage, head: object) -> StageSummary:
    state, worker, error, finished = map(decode, head) if isinstance(head, list) else [""] * 4
    at = int(finished) / 1000 if finished else None
    return StageSummary(stage, StageState(state or StageState.WAITING), worker, error, at)


def _with_workers(summary: RunSummary, holders: set[str]) -> RunSummary:
    in_stages = {head.worker for head in summary.stages if head.state is StageState.RUNNING}
    return replace(summary, workers=tuple(sorted(holders | in_stages)))
