"""The Run page: everything that it shows of one run."""

from collections import Counter
from dataclasses import dataclass

from config.ledger import Ledger
from config.ledger.adapters import AdapterVersion
from config.records import JobState, RunControl, StageState
from config.topology import Stage
from config.training_progress import duration
from producer.flower.runs import words
from producer.flower.runs.advice import Advice, advice
from producer.flower.runs.causes import Causes, causes
from producer.flower.runs.curves import Curve, losses, throughput
from producer.flower.runs.listing import Bar, bars
from producer.flower.runs.scores import Scores, scores
from producer.flower.runs.timeline import Moment, Step, moments, steps
from producer.flower.runs.workers import WorkerRow, table
from producer.run_status import RunStatus, status


@dataclass(frozen=True)
class Count:
    """One number of the header."""

    label: str
    value: str
    tone: str = ""


@dataclass(frozen=True)
class AdapterRow:
    """One adapter of the run."""

    name: str
    """RUN@vN"""
    newest: bool
    settings: str
    iterations: str
    loss: str
    took: str
    memory: str
    report: bool


@dataclass(frozen=True)
class Buttons:
    """What can be done with the run now."""

    pause: bool
    resume: bool
    cancel: bool
    curate: bool
    """curate what a cancelled run has generated"""
    stage: str
    """a failed stage that can run again; "" for none"""


@dataclass(frozen=True)
class RunDetail:
    """The page."""

    run_id: str
    state: str
    advice: Advice
    buttons: Buttons
    started: str
    started_at: str
    about: tuple[str, ...]
    """what was asked for: teacher, student, version of the dataset"""
    counts: tuple[Count, ...]
    bars: tuple[Bar, ...]
    progress: str
    steps: tuple[Step, ...]
    moments: tuple[Moment, ...]
    throughput: Curve
    losses: Curve | None
    """None if the run does not train"""
    workers: tuple[WorkerRow, ...]
    causes: Causes
    lost_calls: str
    scores: Scores | None
    no_scores: str
    """why there are none although there was an evaluation"""
    adapters: tuple[AdapterRow, ...]
    has_report: bool
    has_dataset: bool


def load(ledger: Ledger, run_id: str) -> RunDetail:
    """Read one run; UsageError if there is no such run."""
    run, view = status(ledger, run_id), ledger.run(run_id)
    now, workers = ledger.fleet.now(), ledger.fleet.workers()
    rates, _ = ledger.counters(run_id)
    flight = Counter(job.worker for job in ledger.jobs.rows(run_id, ledger.jobs.ids(run_id, JobState.RUNNING)))
    evaluating = ledger.stages.progress(run_id, Stage.EVALUATE) if run.stage == Stage.EVALUATE else []
    rows = table(run, workers, flight)
    last = max(rates) * 10.0 if rates else None
    found = scores(run_id, run.stages[-1])
    return RunDetail(
        run_id=run_id,
        state=words.run_state(run.control, run.stage),
        advice=advice(run, rows, view.history, last_finished=last, now=now),
        buttons=buttons(run),
        started=words.clock(run.created, now=now),
        started_at=words.stamp(run.created),
        about=about(run, teacher=view.spec.model if view.spec.teacher == "endpoint" else "the scripted teacher",
                    student=view.spec.student),
        counts=counts(run),
        bars=bars({state: getattr(run, state.value) for state in JobState}, run.total),
        progress=f"{words.number(run.generated + run.failed)} of {words.number(run.total)} jobs finished",
        steps=steps(run, rates, evaluating, now=now),
        moments=moments(view.history, now=now),
        throughput=throughput(rates, now=now),
        losses=losses(ledger.stages.progress(run_id, Stage.TRAIN)) if _trains(run) else None,
        workers=rows,
        causes=causes(run),
        lost_calls=lost_calls(run),
        scores=found if isinstance(found, Scores) else None,
        no_scores=found if isinstance(found, str) else "",
        adapters=tuple(adapter_row(run_id, adapter) for adapter in run.adapters),
        has_report=isinstance(found, Scores),
        has_dataset=ledger.files.has(run_id, "dataset"),
    )  # fmt: skip


def buttons(run: RunStatus) -> Buttons:
    """The changes that the run's state allows."""
    over = run.stage in {"done", "failed"}
    cancelled, paused = (run.control is control for control in (RunControl.CANCELLED, RunControl.PAUSED))
    failed = next((view.stage.value for view in run.stages if view.state is StageState.FAILED), "")
    return Buttons(
        pause=run.control is RunControl.GO and not over,
        resume=cancelled or paused,
        cancel=not cancelled and not over,
        curate=cancelled and run.generated > 0,
        stage="" if cancelled else failed,
    )


def about(run: RunStatus, *, teacher: str, student: str | None) -> tuple[str, ...]:
    """What was asked for."""
    return tuple(
        filter(
            None,
            (
                f"answers from {teacher}",
                f"for {student}" if student else "",
                f"version {run.version} of the dataset" if run.version > 1 else "",
            ),
        )
    )


def counts(run: RunStatus) -> tuple[Count, ...]:
    """The numbers under the header."""
    going = run.control is RunControl.GO and run.stage == "generate"
    return (
        Count("Queued", words.number(run.queued)),
        Count("In flight", words.number(run.running), "running" if run.running else ""),
        Count("Generated", words.number(run.generated), "done" if run.generated else ""),
        Count("Failed", words.number(run.failed), "failed" if run.failed else ""),
        Count("Kept", _or_dash(run.kept), "done" if run.kept else ""),
        Count("Rejected + failed" if run.rejected and run.failed else "Rejected", _or_dash(run.rejected)),
        Count("Per minute" if going else "Per minute, mean", words.pace(run.rate) if run.rate else "-"),
        _last_count(run),
    )


def _last_count(run: RunStatus) -> Count:
    """The time left, else the cancelled jobs, else the teacher's right answers."""
    if run.control is RunControl.GO and run.seconds_left is not None:
        return Count("Time left", words.about(run.seconds_left).removeprefix("about "))
    if run.cancelled:
        return Count("Cancelled", words.number(run.cancelled))
    right = run.correct
    share = words.percent(right.get("count", 0), right.get("of", 0)) if right else ""
    return Count("Right answers", share or "-")


def lost_calls(run: RunStatus) -> str:
    """Tool calls that a model server dropped, in one sentence; "" for none."""
    total = sum(run.lost_calls.values())
    if not total:
        return ""
    teachers = ", ".join(run.lost_calls)
    return f"The server of {teachers} could not parse {total} tool calls and dropped them; they were asked for again."


def adapter_row(run_id: str, adapter: AdapterVersion) -> AdapterRow:
    """One adapter as text."""
    found = adapter.as_json()
    seconds, memory, loss = found["seconds"], adapter.adapter.get("peak_memory_gb"), found["train_loss"]
    return AdapterRow(
        name=f"{run_id}@v{adapter.version}",
        newest=adapter.current,
        settings=", ".join(f"{name} {value}" for name, value in adapter.lora.items()) or "defaults",
        iterations=str(found["iterations"] or ""),
        loss=f"{loss:.3f}" if isinstance(loss, int | float) else "",
        took=duration(seconds) if isinstance(seconds, int | float) else "",
        memory=f"{memory:.1f} GB" if isinstance(memory, int | float) else "",
        report=bool(adapter.report) and "skipped" not in adapter.report,
    )


def _trains(run: RunStatus) -> bool:
    return any(view.stage is Stage.TRAIN and view.state is not StageState.SKIPPED for view in run.stages)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else words.number(value)
