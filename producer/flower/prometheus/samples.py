"""What the ledger says now, as (metric, label values, value)."""

from collections.abc import Iterable, Iterator

from config.errors import RejectionReason
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.records import JobState, JsonObject, StageState
from config.topology import QUEUE_GENERATE, QUEUES, Stage
from config.troubleshooting import PERSON, pause_sections
from config.version import version
from producer.run_status import SILENT_SECONDS, RunStatus, status

Sample = tuple[str, tuple[str, ...], float]

ENDED_RUNS = 5  # newest runs that are shown although they have ended
MOST_RUNS = 25  # of them and the active runs, the newest; each has about 40 series
MOST_WORKERS = 100  # last seen; each has about 10 series
GIGABYTE = 1e9
GO = "go"  # the label of an empty control
HEALTHY_ENDPOINT = frozenset({PERSON, "disk", "device-busy"})  # causes of a pause that say nothing against the endpoint


def samples(ledger: Ledger) -> Iterator[Sample]:
    """All samples; StoreError if the ledger cannot be read."""
    workers = sorted(ledger.fleet.workers(), key=lambda view: view.silent_seconds)
    now = ledger.fleet.now()
    yield "applejack_build_info", (version(),), 1
    yield from server_samples(ledger)
    yield from queue_samples(ledger, workers)
    for view in workers[:MOST_WORKERS]:
        yield from worker_samples(view, now)
    active = set(ledger.fleet.active_runs())
    for run_id in shown_runs(ledger.run_ids(), active):
        yield "applejack_run_active", (run_id,), run_id in active
        yield from run_samples(status(ledger, run_id))


def shown_runs(newest_first: list[str], active: set[str]) -> list[str]:
    """The active runs and the newest others, MOST_RUNS at most."""
    others = [run_id for run_id in newest_first if run_id not in active][:ENDED_RUNS]
    return [run_id for run_id in newest_first if run_id in active or run_id in others][:MOST_RUNS]


def server_samples(ledger: Ledger) -> Iterator[Sample]:
    """Of Redis and the reconciler."""
    used, limit = ledger.server.memory()
    yield "applejack_redis_memory_bytes", (), used
    if limit:
        yield "applejack_redis_memory_limit_bytes", (), limit
    yield "applejack_reconciler_elected", (), bool(ledger.fleet.leader())


def queue_samples(ledger: Ledger, workers: Iterable[WorkerView]) -> Iterator[Sample]:
    """Of the queues."""
    for queue, length in ledger.server.queues().items():
        yield "applejack_queue_messages", (queue, "ready"), length.ready
        if length.unacked is not None:
            yield "applejack_queue_messages", (queue, "unacked"), length.unacked
    counted = consumers(workers)
    for queue in QUEUES:
        yield "applejack_queue_consumers", (queue,), counted[queue]


def consumers(workers: Iterable[WorkerView]) -> dict[str, int]:
    """Number of live workers per queue, without those that take no work from it now."""
    counted = dict.fromkeys(QUEUES, 0)
    for view in workers:
        queues = view.fields.get("queues")
        if view.silent_seconds > SILENT_SECONDS or view.control or not isinstance(queues, list):
            continue
        for queue in QUEUES:
            counted[queue] += queue in queues and not (queue == QUEUE_GENERATE and bool(view.fields.get("paused")))
    return counted


def worker_samples(view: WorkerView, now: float) -> Iterator[Sample]:
    """Of one worker; what its last heartbeat lacks is left out."""
    name, fields = (view.name,), view.fields
    yield "applejack_worker_silent_seconds", name, view.silent_seconds
    yield "applejack_worker_control", (view.name, view.control.value or GO), 1
    if (clock := number(fields, "clock")) is not None:
        yield "applejack_worker_clock_skew_seconds", name, clock - (now - view.silent_seconds)
    simple = {"holds": "holds", "limit": "concurrency_limit"} if fields.get("endpoint") else {"holds": "holds"}
    simple |= {"tokens_per_second": "tokens_per_second", "first_token_seconds": "first_token_seconds"}
    for field, metric in simple.items():
        if (value := number(fields, field)) is not None:
            yield f"applejack_worker_{metric}", name, value
    for field, part, metric in (("disk", "free", "disk_free"), ("memory", "available", "memory_available")):
        if isinstance(room := fields.get(field), dict) and (value := number(room, part)) is not None:
            yield f"applejack_worker_{metric}_bytes", name, value
    paused = fields.get("paused")
    causes = pause_sections(paused) if paused and isinstance(paused, str) else ()
    for cause in causes:
        yield "applejack_worker_paused", (view.name, cause), 1
    if fields.get("endpoint"):
        yield "applejack_worker_endpoint_up", name, HEALTHY_ENDPOINT.issuperset(causes)


def run_samples(run: RunStatus) -> Iterator[Sample]:
    """Of one run."""
    name = (run.run_id,)
    yield "applejack_run_control", (run.run_id, run.control.value or GO), 1
    counts = (run.queued, run.running, run.generated, run.failed, run.cancelled)
    for state, count in zip(JobState, counts, strict=True):
        yield "applejack_run_jobs", (run.run_id, state.value), count
    for kind, count in run.kinds.items():
        yield "applejack_run_failed_jobs", (run.run_id, kind), count
    finished = sum(count for states in run.by_worker.values() for count in states.values())
    yield "applejack_run_jobs_finished_total", name, finished
    if run.queued or run.running:
        yield "applejack_run_jobs_per_second", name, run.rate / 60
    if run.seconds_left is not None:
        yield "applejack_run_time_left_seconds", name, run.seconds_left
    if run.missing_role:
        yield "applejack_run_missing_worker", (run.run_id, run.missing_role), 1
    for view in run.stages:
        yield "applejack_run_stage", (run.run_id, view.stage.value, view.state.value), 1
        if view.stage is Stage.CURATE and view.state is StageState.DONE:
            yield from curation_samples(run)
        if view.stage is Stage.TRAIN:
            yield "applejack_training_diverged", name, view.state is StageState.FAILED and "diverged" in view.error
    yield from training_samples(run)


def curation_samples(run: RunStatus) -> Iterator[Sample]:
    """Of the last curation."""
    for verdict, examples in (("kept", run.kept), ("rejected", run.rejected)):
        if examples is not None:
            yield "applejack_run_examples", (run.run_id, verdict), examples
    reasons = run.stages[0].result.get("reasons")
    if isinstance(reasons, dict):
        for reason in RejectionReason:
            if count := number(reasons, reason.value):
                yield "applejack_run_rejections", (run.run_id, reason.value), count


def training_samples(run: RunStatus) -> Iterator[Sample]:
    """Of the training that runs now."""
    if (training := run.training) is None:
        return
    name = (run.run_id,)
    yield "applejack_training_iteration", name, training.iteration
    yield "applejack_training_iterations", name, training.iterations
    for split, loss in (("train", training.train_loss), ("valid", training.valid_loss)):
        if loss is not None:
            yield "applejack_training_loss", (run.run_id, split), loss
    if training.tokens_per_second is not None:
        yield "applejack_training_tokens_per_second", name, training.tokens_per_second
    if training.peak_memory_gb is not None:
        yield "applejack_training_peak_memory_bytes", name, training.peak_memory_gb * GIGABYTE


def number(fields: JsonObject, name: str) -> float | None:
    """A number of a JSON object; None if it has none there."""
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) else None
