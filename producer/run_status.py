"""Read a run's status from the ledger: job counts, rate, time left, stages and workers."""

from dataclasses import asdict, dataclass
from itertools import pairwise

from config.ledger import Ledger
from config.ledger.adapters import AdapterVersion
from config.ledger.fleet import WorkerView
from config.ledger.stages import StageView
from config.records import JobState, JsonObject, RunControl, StageState
from config.topology import ROUTES, Stage
from config.training_progress import TrainingProgress, training_progress

SILENT_SECONDS = 30.0  # without a heartbeat; longer than a lease (20 s), so other workers run its jobs by then
PAUSE_SECONDS = 900  # without a finished job; later jobs count as another generation, such as a resubmission
RATE_SECONDS = 120  # window of the rate: long enough for slow teachers, short enough to follow a growing fleet


@dataclass(frozen=True)
class RunStatus:
    """Status of a run, as recorded in the ledger."""

    run_id: str
    total: int
    queued: int
    running: int
    generated: int
    failed: int
    cancelled: int
    truncated: int
    """generated jobs that max_tokens cut; curation rejects them"""
    lost_calls: dict[str, int]
    """tool calls per teacher that its server could not parse and dropped; the teacher was asked again"""
    kinds: dict[str, int]
    """number of failed jobs per failure kind"""
    kept: int | None
    """None until curation is done"""
    rejected: int | None
    correct: dict[str, int] | None
    """{"count", "of"}: right answers, of those with an expected answer; None until curation is done"""
    stage: str
    """generate, curate, train, evaluate, done, failed or cancelled"""
    error: str
    """why the run failed; "" if it has not"""
    rate: float
    """jobs finished per minute over the last RATE_SECONDS; once generation has ended, its mean"""
    eta_seconds: float | None
    """None if no jobs are pending, or no worker is alive for them"""
    missing_role: str
    """the worker role that the run needs and no live worker has; "" if there is one or the run has ended"""
    control: RunControl
    """whether a person has paused or cancelled it"""
    version: int
    created: float
    by_worker: dict[str, dict[str, int]]
    stages: tuple[StageView, ...]
    training: TrainingProgress | None = None
    """the training that runs now; None if none does or it has not reported yet"""
    adapters: tuple[AdapterVersion, ...] = ()
    """of the run, oldest first"""

    @property
    def seconds_left(self) -> float | None:
        """Of the generation or the training that runs now; None if unknown."""
        return self.training.seconds_left if self.training else self.eta_seconds

    def as_json(self) -> JsonObject:
        """The status as `applejack status --json` prints it."""
        body: JsonObject = {
            key: value for key, value in asdict(self).items() if key not in {"stages", "by_worker", "adapters"}
        }
        body["adapters"] = [found.as_json() for found in self.adapters]
        body["stages"] = {view.stage.value: view.state.value for view in self.stages}
        return body

    def by_worker_json(self) -> JsonObject:
        """Jobs finished per worker and state."""
        return {worker: dict(counts) for worker, counts in self.by_worker.items()}


def status(ledger: Ledger, run_id: str) -> RunStatus:
    """Load a run's current status; UsageError if there is no such run."""
    run = ledger.run(run_id)
    counts = ledger.jobs.counts(run_id)
    rates, finished = ledger.counters(run_id)
    stages = tuple(ledger.stages.view(run_id, stage) for stage in Stage)
    pending = counts[JobState.QUEUED] + counts[JobState.RUNNING]
    per_minute = rate(rates, now=ledger.fleet.now()) if pending else mean_rate(rates)
    curated = stages[0].result if stages[0].state is StageState.DONE else {}
    name, error = ("cancelled", "") if run.control is RunControl.CANCELLED else current_stage(stages, pending)
    missing = missing_role(name, ledger.fleet.workers())
    return RunStatus(
        run_id=run_id,
        total=run.total,
        queued=counts[JobState.QUEUED],
        running=counts[JobState.RUNNING],
        generated=counts[JobState.GENERATED],
        failed=counts[JobState.FAILED],
        cancelled=counts[JobState.CANCELLED],
        truncated=ledger.jobs.truncated_count(run_id),
        lost_calls=ledger.jobs.lost_calls(run_id),
        kinds={kind.value: count for kind, count in ledger.jobs.failure_counts(run_id).items()},
        kept=int_or_none(curated.get("kept")),
        rejected=int_or_none(curated.get("rejected")),
        correct=counted(curated.get("correct")),
        stage=name,
        error=error,
        rate=per_minute,
        eta_seconds=pending / per_minute * 60 if pending and per_minute and not missing and not run.control else None,
        missing_role=missing,
        control=run.control,
        version=run.version,
        created=run.created,
        by_worker=per_worker(finished),
        stages=stages,
        training=running_training(ledger, run_id, stages),
        adapters=tuple(ledger.adapters(run_id)),
    )


def running_training(ledger: Ledger, run_id: str, stages: tuple[StageView, ...]) -> TrainingProgress | None:
    """Where the running training of a run stands."""
    if any(view.stage is Stage.TRAIN and view.state is StageState.RUNNING for view in stages):
        return training_progress(ledger.stages.progress(run_id, Stage.TRAIN))
    return None


def rate(buckets: dict[int, int], *, now: float) -> float:
    """Jobs finished per minute over the last RATE_SECONDS. `buckets` counts jobs by epoch seconds // 10."""
    recent = [bucket for bucket in buckets if bucket * 10 > now - RATE_SECONDS]
    if not recent:
        return 0.0
    seconds = max(10.0, now - min(recent) * 10)
    return sum(buckets[bucket] for bucket in recent) / seconds * 60


def mean_rate(buckets: dict[int, int]) -> float:
    """Jobs finished per minute, from the first to the last job of the newest generation; 0 without any."""
    times = sorted(buckets, reverse=True)
    pauses = (n for n, (later, earlier) in enumerate(pairwise(times), 1) if (later - earlier) * 10 > PAUSE_SECONDS)
    newest = times[: next(pauses, len(times))]
    return sum(buckets[time] for time in newest) / (newest[0] - newest[-1] + 1) * 6 if newest else 0.0


def missing_role(stage: str, workers: list[WorkerView]) -> str:
    """The queue of the run's current stage if no live worker consumes it; "" otherwise."""
    if stage not in ROUTES:  # done, failed or cancelled
        return ""
    queue = ROUTES[stage]["queue"]
    alive = [view.fields.get("queues") for view in workers if view.silent_seconds <= SILENT_SECONDS]
    return "" if any(isinstance(queues, list) and queue in queues for queues in alive) else queue


def current_stage(stages: tuple[StageView, ...], pending: int) -> tuple[str, str]:
    """The run's current stage, and the error if it failed."""
    failed = [view for view in stages if view.state is StageState.FAILED]
    if failed:
        return "failed", f"{failed[0].stage.value}: {failed[0].error}"
    if pending:
        return "generate", ""
    unfinished = [view for view in stages if view.state not in {StageState.DONE, StageState.SKIPPED}]
    return (unfinished[0].stage.value, "") if unfinished else ("done", "")


def per_worker(finished: dict[str, int]) -> dict[str, dict[str, int]]:
    """Convert {"worker|state": n} to {worker: {state: n}}."""
    workers: dict[str, dict[str, int]] = {}
    for key, count in sorted(finished.items()):
        worker, _, state = key.rpartition("|")
        workers.setdefault(worker, {})[state] = count
    return workers


def int_or_none(value: object) -> int | None:
    """The value if it is an int, else None."""
    return value if isinstance(value, int) else None


def counted(value: object) -> dict[str, int] | None:
    """The counts {"count", "of"} of a curation; None if it stored none, as earlier versions did."""
    if not isinstance(value, dict):
        return None
    return {key: number for key in ("count", "of") if isinstance(number := value.get(key), int)}


def worker_rows(workers: list[WorkerView]) -> list[JsonObject]:
    """Workers as JSON, for `applejack status --json`."""
    return [{"name": view.name, "silent_seconds": round(view.silent_seconds, 1), **view.fields} for view in workers]


def device_rows(workers: list[WorkerView]) -> list[JsonObject]:
    """Devices in use as JSON, for `applejack status --json`; of two workers of one host the newer heartbeat counts."""
    rows: dict[tuple[str, str], JsonObject] = {}
    for view in sorted(workers, key=lambda view: view.silent_seconds):
        device, host = view.fields.get("device"), view.name.rpartition("@")[2]
        if isinstance(device, dict) and view.silent_seconds <= SILENT_SECONDS:
            row = {"host": host, "device": device["name"], "holder": device["holder"], "waiting": device["waiting"]}
            rows.setdefault((host, str(device["name"])), row)
    return [rows[key] for key in sorted(rows) if rows[key]["holder"]]
