"""The workers of a run as a table of words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.ledger.fleet import WorkerView
from config.records import JobState, JsonObject, RunControl, StageState, WorkerControl
from config.topology import ROUTES
from config.training_progress import duration
from producer.flower.runs import words
from producer.run_status import SILENT_SECONDS, RunStatus

WRONG_MODEL = "wrong model"  # state of a worker whose server lacks a model that a run requests
LIMITS = {
    "start": "still measuring the server",
    "fixed": "a fixed number",
    "memory": "as many conversations as fit its memory",
}


@dataclass(frozen=True)
class WorkerRow:
    """One worker; "" where nothing is known."""

    name: str
    state: str
    tone: str
    """for the colour: done (ready), running, held, failed"""
    reason: str
    in_flight: str
    limit: str
    """how many it may run and why that many"""
    generated: str
    failed: str
    tokens: str
    first_token: str
    model: str
    seen: str


def table(run: RunStatus, workers: Sequence[WorkerView], in_flight: Mapping[str, int]) -> tuple[WorkerRow, ...]:
    """Workers that have worked on the run, that work on it, or that could take its next work; the busiest first."""
    views = {view.name: view for view in workers}
    stages = {view.worker: view.stage.value for view in run.stages if view.state is StageState.RUNNING}
    names = {*run.by_worker, *in_flight, *stages, *_candidates(run, workers)}
    done = Counter({name: sum(counts.values()) for name, counts in run.by_worker.items()})
    ordered = sorted(names, key=lambda name: (-in_flight.get(name, 0) - (name in stages), -done[name], name))
    return tuple(
        row(name, views.get(name), in_flight.get(name, 0), run.by_worker.get(name, {}), stages.get(name, ""))
        for name in ordered
    )


def row(name: str, view: WorkerView | None, in_flight: int, finished: Mapping[str, int], stage: str) -> WorkerRow:
    """One worker. `view` is None if it has left the fleet; `stage`: the stage of the run that it works on."""
    fields = view.fields if view else {}
    state, tone, reason = _state(view, in_flight, stage)
    alive = view is not None and view.silent_seconds <= SILENT_SECONDS
    latency, speed = (_number(fields, key) for key in ("first_token_seconds", "tokens_per_second"))
    return WorkerRow(
        name=name,
        state=state,
        tone=tone,
        reason=reason,
        in_flight=str(in_flight) if in_flight else stage or "",
        limit=_limit(fields) if alive else "",
        generated=words.number(finished.get(JobState.GENERATED.value, 0)),
        failed=words.number(finished.get(JobState.FAILED.value, 0)),
        tokens=f"{speed:.0f} a second" if speed is not None and alive else "",
        first_token=f"{latency:.1f} s" if latency is not None and alive else "",
        model=_model(fields) if alive else "",
        seen=words.age(view.silent_seconds) if view else "left the fleet",
    )


def _state(view: WorkerView | None, in_flight: int, stage: str) -> tuple[str, str, str]:
    """State in words, its colour, and the reason."""
    if view is None:
        return "gone", "waiting", ""
    if view.silent_seconds > SILENT_SECONDS:
        return "silent", "failed", f"no heartbeat for {duration(view.silent_seconds)}; other workers run its jobs"
    if view.control is WorkerControl.DRAINING:
        return "draining", "held", "ends when its work is done"
    if view.control is WorkerControl.PAUSED:
        return "paused", "held", "by a person"
    if paused := view.fields.get("paused"):
        return "paused", "failed", str(paused)
    if download := _download(view.fields):
        return "downloading", "running", download
    refused = view.fields.get("refuses")
    reasons = [f"does not serve {model}: {why}" for model, why in refused.items()] if isinstance(refused, dict) else []
    if in_flight or stage:
        return "working", "running", "; ".join(reasons)
    return (WRONG_MODEL, "failed", "; ".join(reasons)) if reasons else ("ready", "done", "")


def _download(fields: JsonObject) -> str:
    download = fields.get("downloading")
    if not isinstance(download, dict):
        return ""
    done, of = (_number(download, key) or 0.0 for key in ("bytes", "of"))
    return f"{download.get('model')}, {words.percent(done, of) or 'starting'}"


def _limit(fields: JsonObject) -> str:
    limit, why = fields.get("limit"), str(fields.get("limit_reason") or "")
    if not isinstance(limit, int) or "generate" not in _queues(fields):
        return ""
    reason = LIMITS.get(why, why)
    return f"at most {limit}" + (f": {reason}" if reason else "")


def _model(fields: JsonObject) -> str:
    """The model that it serves or uses, as far as the heartbeat has it."""
    served = fields.get("serves")
    if isinstance(served, str):
        return served
    budget = fields.get("budget")  # "NAME: 1.2 GB of weights, ..."
    return budget.partition(": ")[0] if isinstance(budget, str) else ""


def _candidates(run: RunStatus, workers: Sequence[WorkerView]) -> set[str]:
    """Live workers that consume the queue of the run's current stage."""
    if run.control is RunControl.CANCELLED or run.stage not in ROUTES:
        return set()
    queue = ROUTES[run.stage]["queue"]
    return {view.name for view in workers if view.silent_seconds <= SILENT_SECONDS and queue in _queues(view.fields)}


def _queues(fields: JsonObject) -> list[str]:
    queues = fields.get("queues")
    return [str(queue) for queue in queues] if isinstance(queues, list) else []


def _number(fields: JsonObject, key: str) -> float | None:
    value = fields.get(key)
    return float(value) if isinstance(value, int | float) else None
