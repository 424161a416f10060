"""The stages of a run as a timeline: submitted, generate, curate, train, evaluate."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.ledger.encoding import Event
from config.ledger.stages import StageView
from config.records import JsonObject, RunControl, StageState
from config.topology import Stage
from config.training_progress import duration
from producer.flower.runs import words
from producer.flower.text import share
from producer.output import pluralise
from producer.run_status import RunStatus
from producer.stage_results import skip_reason

EVENTS = {
    "paused": "Paused",
    "resumed": "Resumed",
    "cancelled": "Cancelled",
}
SHOWN_EVENTS = 8  # newest of the run's history
INTERRUPTIONS = {"lost": "its worker was lost", "handed_back": "handed back", "cancelled": "cancelled"}
STATES = {
    StageState.WAITING: "waiting",
    StageState.READY: "ready, no worker has taken it yet",
    StageState.RUNNING: "running",
    StageState.DONE: "done",
    StageState.FAILED: "failed",
    StageState.SKIPPED: "not asked for",
}


@dataclass(frozen=True)
class Step:
    """One stage; every text may be empty."""

    name: str
    state: str
    """words"""
    tone: str
    """for the colour: waiting, running, done, failed, held"""
    when: str
    took: str
    worker: str
    detail: str
    error: str
    interruptions: str
    """how often it was interrupted, and how the last time"""
    percent: str = ""
    """progress of a running step, in percent; "" if it is not known"""


@dataclass(frozen=True)
class Moment:
    """What a person did with the run."""

    at: str
    stamp: str
    text: str


def steps(run: RunStatus, rates: dict[int, int], evaluation: Sequence[JsonObject], *, now: float) -> tuple[Step, ...]:
    """The timeline. `rates`: finished jobs by epoch seconds // 10; `evaluation`: the progress of that stage."""
    jobs = words.counted(run.total, "job")
    submitted = Step("Submitted", "", "done", words.clock(run.created, now=now), "", "", jobs, "", "")
    return (submitted, _generate(run, rates, now=now), *(_stage(run, view, evaluation, now=now) for view in run.stages))


def moments(history: Sequence[Event], *, now: float) -> tuple[Moment, ...]:
    """The newest changes that people made, newest first."""
    return tuple(
        Moment(words.clock(event.at, now=now), words.stamp(event.at), _event(event))
        for event in reversed(history[-SHOWN_EVENTS:])
    )


def _event(event: Event) -> str:
    if event.event != "resubmitted":
        return EVENTS.get(event.event, event.event)
    jobs = event.detail  # empty if a stage was reopened
    return f"{words.counted(int(jobs), 'job')} resubmitted" if jobs.isdecimal() else "A stage run again"


def _generate(run: RunStatus, rates: dict[int, int], *, now: float) -> Step:
    pending, finished = run.queued + run.running, run.generated + run.failed
    first, last = (min(rates) * 10, max(rates) * 10 + 10) if rates else (None, None)
    held = run.control is not RunControl.GO and pending + run.cancelled > 0
    tone = "held" if held else "running" if pending else "done"
    state = run.control.value if held else _generating(run) if pending else "done"
    failed = f", {words.number(run.failed)} of them failed" if run.failed else ""
    return Step(
        name="Generate",
        state=state,
        tone=tone if run.running or finished or held else "waiting",
        when=words.clock(first, now=now),
        took=duration(min(last, now) - first) if first is not None and last is not None else "",
        worker="",
        detail=f"{words.number(finished)} of {words.number(run.total)} finished{failed}",
        error="",
        interruptions="",
        percent=share(finished, run.total) if pending else "",
    )


def _generating(run: RunStatus) -> str:
    if run.running:
        return f"{words.counted(run.running, 'job')} in flight"
    return "waiting for a worker"


def _stage(run: RunStatus, view: StageView, evaluation: Sequence[JsonObject], *, now: float) -> Step:
    running = view.state is StageState.RUNNING
    began = view.state in {StageState.RUNNING, StageState.DONE, StageState.FAILED}
    seconds = max(0.0, now - view.started) if running and view.started else view.seconds if began else None
    held = run.control is not RunControl.GO and view.state in {StageState.READY, StageState.RUNNING}
    detail, percent = _progress(run, view, evaluation) if running else (_result(view), "")
    return Step(
        name=view.stage.value.capitalize(),
        state=f"{run.control.value}" if held else STATES[view.state],
        tone="held"
        if held
        else "waiting"
        if view.state in {StageState.READY, StageState.SKIPPED}
        else view.state.value,
        when=words.clock(view.started, now=now) if began else "",
        took=_rough(seconds) if running else duration(seconds) if seconds is not None else "",
        worker=view.worker if began else "",
        detail=detail,
        error=view.error if view.state is StageState.FAILED else "",
        interruptions=_interruptions(view.history),
        percent=percent,
    )


def _rough(seconds: float | None) -> str:
    """Of a stage that runs: whole minutes, so that it changes once a minute."""
    if seconds is None:
        return ""
    return words.about(seconds).removeprefix("about ")


def _progress(run: RunStatus, view: StageView, evaluation: Sequence[JsonObject]) -> tuple[str, str]:
    """Where a running stage stands, as text and in percent."""
    if view.stage is Stage.TRAIN and run.training:
        return run.training.line, share(run.training.iteration, run.training.iterations)
    last = evaluation[-1] if view.stage is Stage.EVALUATE and evaluation else {}
    phase, done, total = last.get("phase"), last.get("done"), last.get("total")
    if isinstance(done, int) and isinstance(total, int):
        return f"{phase}: {done} of {total} questions", share(done, total)
    return "", ""


def _result(view: StageView) -> str:
    """One line about a stage that is done."""
    result = view.result if view.state is StageState.DONE else {}
    if reason := skip_reason(result):
        return f"left out: {reason}"
    if view.stage is Stage.CURATE and "kept" in result:
        return f"{words.number(_count(result, 'kept'))} kept, {words.number(_count(result, 'rejected'))} rejected"
    if view.stage is Stage.TRAIN and "iterations" in result:
        rows = result.get("rows")
        on = f" on {words.counted(rows, 'row')}" if isinstance(rows, int) else ""
        return f"{result['iterations']} iterations{on}"
    return ""


def _count(result: JsonObject, name: str) -> int:
    value = result.get(name)
    return value if isinstance(value, int) else 0


def _interruptions(history: Sequence[Event]) -> str:
    broken = [event for event in history if event.event in INTERRUPTIONS]
    if not broken:
        return ""
    last = broken[-1]
    why = INTERRUPTIONS[last.event] + (f" ({words.shorten(last.detail)})" if last.event == "handed_back" else "")
    return f"interrupted {pluralise(len(broken), 'time')}, last: {why}"
