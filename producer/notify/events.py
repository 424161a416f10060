"""What people are told of a run and its workers: pure functions of what was seen before and what is seen now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from config.ledger.fleet import WorkerView
from config.records import RunControl, WorkerControl
from config.training_progress import duration
from producer.output import pluralise
from producer.run_status import RunStatus

SHOWN = 400  # characters of an error


class EventKind(StrEnum):
    """What happened."""

    DONE = "done"  # the run has ended
    FAILED = "failed"  # one of its stages failed
    CANCELLED = "cancelled"  # a person cancelled it
    STALLED = "stalled"  # nothing finished for a while
    RECOVERED = "recovered"  # it goes on after a stall
    FAILURES = "failures"  # many of its jobs fail
    WORKER_SILENT = "worker_silent"  # no heartbeat for a while
    WORKER_PAUSED = "worker_paused"  # paused itself for a while, for its endpoint or its disk
    TEST = "test"  # sent by `applejack notify`


@dataclass(frozen=True)
class Rules:
    """When an event is one. Times in seconds."""

    stall: float | None = None
    """without a finished job; None: STALL_INTERVALS times the run's mean interval, at least LEAST_STALL"""
    failure_share: float = 0.2
    failure_jobs: int = 20
    """finished jobs, before their share of failures means anything"""
    stage: float = 1800.0
    """without a report of a stage: loading a 30 GB model, or curating 100,000 trajectories, takes less"""
    silent: float = 300.0
    """a worker; its jobs run elsewhere after 20 s"""
    paused: float = 900.0
    """a worker that paused itself; restarting a model server takes less"""


LEAST_STALL = 600.0  # twice the 300 s that a job may take
FIRST_STALL = 1200.0  # before the first job has finished: workers may have to load their model
STALL_INTERVALS = 10.0


@dataclass(frozen=True)
class Notice:
    """One event, ready to be told."""

    kind: EventKind
    run_id: str
    """"" for an event of a worker"""
    key: str
    """the same in every process that sees the event, and different for another event"""
    sentence: str
    command: str
    """to run next"""
    figures: Mapping[str, str] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True)
class Seen:
    """What was seen of a run, and since when."""

    mark: str
    """changes with each finished job and each report of a stage"""
    since: float
    """server time of its last change"""
    rate: float = 0.0
    """the last rate above 0, jobs per minute"""
    stall: str = ""
    """key of the stall that was noticed; "" while the run goes on"""


def look(
    seen: Seen | None,
    status: RunStatus,
    *,
    reports: int,
    now: float,
    rules: Rules,
    others_active: bool = False,
) -> tuple[Seen, list[Notice]]:
    """The new state and events of a run that has not ended.

    `reports`: number of progress reports of its stage. `others_active`: the fleet may be busy with other runs.
    """
    mark = progress_mark(status, reports)
    failures = many_failures(status, rules)
    if seen is None or mark != seen.mark:
        stall = seen.stall if seen else ""
        back = [recovered(status, stall, now - seen.since)] if seen and stall else []
        return Seen(mark, now, status.rate or (seen.rate if seen else 0.0)), [*back, *failures]
    seen = replace(seen, rate=status.rate or seen.rate)
    if status.control is RunControl.PAUSED:
        return replace(seen, since=now), failures
    waits = status.stage == "generate" and not status.running and not status.missing_role and others_active
    silent = now - seen.since
    if seen.stall or waits or silent < stall_seconds(status, seen, rules):
        return seen, failures
    key = f"stalled:v{status.version}:{mark}"
    return replace(seen, stall=key), [stalled(status, key, silent), *failures]


def progress_mark(status: RunStatus, reports: int) -> str:
    """Changes with each finished job and each report of a stage; has no spaces."""
    if status.stage == "generate":
        return f"generate:{status.generated}:{status.failed}"
    states = "-".join(view.state.value for view in status.stages)
    return f"{status.stage}:{states}:{reports}"


def stall_seconds(status: RunStatus, seen: Seen, rules: Rules) -> float:
    """How long a run may go without a sign of progress."""
    if status.stage != "generate" and not status.missing_role:
        return rules.stage
    if rules.stall is not None:
        return rules.stall
    return max(LEAST_STALL, STALL_INTERVALS * 60 / seen.rate) if seen.rate else FIRST_STALL


def stalled(status: RunStatus, key: str, silent: float) -> Notice:
    """Nothing finished for a while."""
    pending = status.queued + status.running
    if status.stage == "generate":
        what = f"no job finished for {duration(silent)}, and {pluralise(pending, 'job')} are pending"
    else:
        what = f"its stage {status.stage} reported nothing for {duration(silent)}"
    why = f"; no {status.missing_role} worker is alive" if status.missing_role else ""
    figures = {**job_figures(status), "rate": f"{status.rate:.1f}/min"}
    command = f"applejack worker {status.missing_role}" if status.missing_role else f"applejack status {status.run_id}"
    return _notice(EventKind.STALLED, status, key, f"is stalled: {what}{why}.", command, figures)


def recovered(status: RunStatus, stall: str, seconds: float) -> Notice:
    """The run goes on after a stall that was noticed."""
    key = stall.replace("stalled", "recovered", 1)
    what = f"goes on after {duration(seconds)} without progress."
    return _notice(
        EventKind.RECOVERED, status, key, what, f"applejack status {status.run_id} --watch", job_figures(status)
    )


def many_failures(status: RunStatus, rules: Rules) -> list[Notice]:
    """The share of failed jobs is above the threshold, while jobs are pending."""
    finished = status.generated + status.failed
    if status.stage != "generate" or finished < max(1, rules.failure_jobs):
        return []
    if status.failed / finished < rules.failure_share:
        return []
    causes = sorted(status.kinds.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{kind} {count}" for kind, count in causes)
    what = f"has {status.failed} failures in {finished} finished jobs ({status.failed / finished:.0%}): {listed}."
    kind = f" --kind {causes[0][0]}" if causes else ""
    command = f"applejack resubmit {status.run_id}{kind} --dry-run"
    key = f"failures:v{status.version}"
    return [_notice(EventKind.FAILURES, status, key, what, command, job_figures(status))]


def ended(status: RunStatus, *, at: float, verdict: str = "") -> Notice:
    """The run is done, failed or cancelled. `at`: server time of its end; `verdict`: of its report, in a sentence."""
    stamp = f"v{status.version}:{round(at * 1000)}"
    figures = job_figures(status)
    if status.control is RunControl.CANCELLED:
        what = f"was cancelled with {pluralise(status.cancelled, 'job')} left."
        command = f"applejack resume {status.run_id}"
        return _notice(EventKind.CANCELLED, status, f"cancelled:{stamp}", what, command, figures)
    if status.stage == "failed":
        error = status.error if len(status.error) <= SHOWN else f"{status.error[:SHOWN]}..."
        stage = status.error.partition(":")[0]
        command = f"applejack resubmit {status.run_id} --stage {stage}"
        return _notice(EventKind.FAILED, status, f"failed:{stamp}", f"failed in {error}", command, figures)
    kept = f"{status.kept} kept, {status.rejected} rejected, " if status.kept is not None else ""
    what = f"is done: {kept}{status.failed} of {pluralise(status.total, 'job')} failed."
    if verdict:
        what, figures = f"{what} {verdict[:1].upper()}{verdict[1:]}.", {**figures, "targets": verdict}
    command = f"applejack {'report' if verdict else 'review'} {status.run_id}"
    return _notice(EventKind.DONE, status, f"done:{stamp}", what, command, figures)


def job_figures(status: RunStatus) -> dict[str, str]:
    """Counts of a run by name; those that are 0 or not known are left out."""
    counts = {
        "jobs": status.total, "generated": status.generated, "failed": status.failed, "queued": status.queued,
        "running": status.running, "cancelled": status.cancelled, "kept": status.kept, "rejected": status.rejected,
    }  # fmt: skip
    return {name: str(count) for name, count in counts.items() if count}


def look_at_workers(
    paused_since: Mapping[str, float], workers: Sequence[WorkerView], *, started: float, now: float, rules: Rules
) -> tuple[dict[str, float], list[Notice], list[str]]:
    """(worker -> since when it is paused, events, workers without trouble).

    Workers that a person has paused are left out, and those that were silent before `started`.
    """
    since: dict[str, float] = {}
    notices: list[Notice] = []
    healthy: list[str] = []
    for view in workers:
        reason = str(view.fields.get("paused") or "")
        if view.control is not WorkerControl.GO:
            continue
        if view.silent_seconds > rules.silent:
            if now - view.silent_seconds >= started:
                notices.append(worker_silent(view))
        elif reason:
            since[view.name] = paused_since.get(view.name, now)
            if now - since[view.name] > rules.paused:
                notices.append(worker_paused(view, reason, now - since[view.name]))
        else:
            healthy.append(view.name)
    return since, notices, healthy


def worker_silent(view: WorkerView) -> Notice:
    """A worker sent no heartbeat for a while."""
    sentence = (
        f"Worker {view.name} sent no heartbeat for {duration(view.silent_seconds)}: its machine sleeps, or is away "
        "from the network. Other workers run its jobs."
    )
    return Notice(EventKind.WORKER_SILENT, "", f"worker:{view.name}:silent", sentence, "applejack status")


def worker_paused(view: WorkerView, reason: str, seconds: float) -> Notice:
    """A worker paused itself a while ago."""
    shown = reason if len(reason) <= SHOWN else f"{reason[:SHOWN]}..."
    sentence = f"Worker {view.name} is paused since {duration(seconds)}: {shown}"
    return Notice(EventKind.WORKER_PAUSED, "", f"worker:{view.name}:paused", sentence, "applejack doctor")


def _notice(
    kind: EventKind, status: RunStatus, key: str, what: str, command: str, figures: Mapping[str, str]
) -> Notice:
    return Notice(kind, status.run_id, key, f"Run {status.run_id} {what}", command, figures, status.version)
