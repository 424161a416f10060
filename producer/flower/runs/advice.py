"""What happened to a run and what to do next, in one sentence each."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.ledger.encoding import Event
from config.records import RunControl, StageState
from producer.flower.runs import words
from producer.flower.runs.workers import WRONG_MODEL, WorkerRow
from producer.output import pluralise
from producer.run_status import RunStatus

MANY_FAILED = 0.05  # share of the finished jobs from which failures are named first
FEW = 20  # finished jobs below which a share means nothing
STALL_SECONDS = 900.0  # without a finished job although some are in flight; longer than a slow teacher's job
DOCTOR = "`applejack doctor` names the cause"
START = {
    "generate": "applejack worker generate",
    "curate": "applejack worker curate --student MODEL",
    "train": "applejack worker train",
}


@dataclass(frozen=True)
class Advice:
    """Two sentences and their weight."""

    happened: str
    do: str
    """ "" if there is nothing to do"""
    tone: str
    """running, done, held, failed"""


def advice(
    run: RunStatus, workers: Sequence[WorkerRow], history: Sequence[Event], *, last_finished: float | None, now: float
) -> Advice:
    """The most urgent fact first. `last_finished`: when the newest job finished; `history`: of the run."""
    if run.control is RunControl.CANCELLED:
        return _cancelled(run, history, now=now)
    if run.control is RunControl.PAUSED:
        return _paused(run, history, now=now)
    if run.stage == "failed":
        return _failed(run)
    if run.stage == "done":
        return _done(run)
    if run.missing_role and not any(view.state is StageState.RUNNING for view in run.stages):
        queue = run.missing_role
        what = f"No worker takes {queue} work, so {_waiting(run)}."
        return Advice(what, f"Start one: `{START.get(queue, 'applejack worker ' + queue)}`.", "failed")
    if run.stage == "generate":
        return _generating(run, workers, last_finished=last_finished, now=now)
    return _in_stage(run)


def _waiting(run: RunStatus) -> str:
    if run.stage == "generate":
        return f"{words.counted(run.queued, 'job')} wait" if run.queued != 1 else "1 job waits"
    return f"the {run.stage} stage waits"


def _when(history: Sequence[Event], event: str, *, now: float) -> str:
    at = next((entry.at for entry in reversed(history) if entry.event == event), None)
    return f"Since {words.clock(at, now=now)} UTC: " if at else ""


def _cancelled(run: RunStatus, history: Sequence[Event], *, now: float) -> Advice:
    done = run.generated + run.failed
    when = _when(history, "cancelled", now=now)
    happened = f"{when}{words.counted(done, 'job')} had finished, {words.number(run.cancelled)} had not."
    do = "Resume it to run the rest" + (", or curate what there is." if run.generated else ".")
    return Advice(happened, do, "held")


def _paused(run: RunStatus, history: Sequence[Event], *, now: float) -> Advice:
    when = _when(history, "paused", now=now)
    flight = f", {words.counted(run.running, 'job')} in flight will finish" if run.running else ""
    left = f"{words.counted(run.queued, 'job')} to go" if run.queued else "its next stage is held"
    return Advice(f"{when}{left}{flight}.", "Resume it when you want.", "held")


def _failed(run: RunStatus) -> Advice:
    view = next(view for view in run.stages if view.state is StageState.FAILED)
    happened = f"The {view.stage.value} stage failed: {words.shorten(view.error, 400)}"
    happened += "" if happened.endswith((".", "!", "…")) else "."
    return Advice(happened, "Remove the cause, then run the stage again.", "failed")


def _done(run: RunStatus) -> Advice:
    kept = f"{words.number(run.kept)} of {words.counted(run.total, 'job')} kept" if run.kept is not None else ""
    failed = f"{words.number(run.failed)} failed" if run.failed else ""
    facts = ", ".join(filter(None, (kept, failed)))
    do = "Read the report and the scores below." if _evaluated(run) else "Look through what was kept with the review."
    if run.failed > MANY_FAILED * run.total:
        do = f"Resubmit the failed jobs below, most of them with {_top_cause(run)}."
    return Advice(f"{facts}." if facts else "All stages have ended.", do, "done")


def _evaluated(run: RunStatus) -> bool:
    return run.stages[-1].state is StageState.DONE and "skipped" not in run.stages[-1].result


def _top_cause(run: RunStatus) -> str:
    return max(run.kinds, key=lambda kind: run.kinds[kind]) if run.kinds else "no cause"


def _generating(run: RunStatus, workers: Sequence[WorkerRow], *, last_finished: float | None, now: float) -> Advice:
    done = run.generated + run.failed
    alive = [row for row in workers if row.state not in {"silent", "gone"}]
    paused = [row for row in alive if row.state == "paused"]
    if alive and len(paused) == len(alive):
        reason = next((row.reason for row in paused if row.reason), "")
        what = f"All {pluralise(len(paused), 'worker')} paused: {words.shorten(reason)}." if len(paused) > 1 else (
            f"The only worker is paused: {words.shorten(reason)}."
        )  # fmt: skip
        return Advice(what, f"{DOCTOR}." if reason != "by a person" else "Resume a worker on the Fleet page.", "failed")
    if run.running and last_finished and now - last_finished > STALL_SECONDS:
        what = f"No job has finished for {words.about(now - last_finished)}, {run.running} are in flight."
        return Advice(what, f"Look at the workers below; {DOCTOR}.", "failed")
    left = words.about(run.eta_seconds)
    progress = f"{words.number(done)} of {words.counted(run.total, 'job')} finished"
    happened = progress + (f", {left} left." if left else ".")
    if done >= FEW and run.failed > MANY_FAILED * done:
        share = words.percent(run.failed, done)
        do = f"{share} of them failed, most with {_top_cause(run)}: see the causes below."
        return Advice(happened, do, "failed")
    if idle := [row.name for row in workers if row.state == WRONG_MODEL]:
        return Advice(happened, f"The server of {', '.join(idle)} has another model: see the Fleet page.", "running")
    return Advice(happened, "Nothing to do.", "running")


def _in_stage(run: RunStatus) -> Advice:
    view = next(view for view in run.stages if view.stage.value == run.stage)
    if view.state is not StageState.RUNNING:
        return Advice(f"The {run.stage} stage starts when a worker is free.", "Nothing to do.", "running")
    left = words.about(run.training.seconds_left) if run.training else ""
    what = f"The {run.stage} stage runs on {view.worker}" + (f", {left} left." if left else ".")
    return Advice(what, "Nothing to do.", "running")
