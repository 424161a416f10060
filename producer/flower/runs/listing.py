"""The Runs page: one row for each run, found by name and state."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.ledger.summaries import RunSummary, StageSummary
from config.records import JobState, RunControl, StageState
from config.topology import Stage
from config.training_progress import TrainingProgress, training_progress
from producer.flower.runs import words
from producer.flower.text import share
from producer.output import pluralise
from producer.run_status import SILENT_SECONDS, missing_role, rate

PER_PAGE = 50


@dataclass(frozen=True)
class Query:
    """What the search form asks for."""

    name: str = ""
    state: str = ""
    """one of words.STATES, or "" for all"""
    page: int = 1


@dataclass(frozen=True)
class Bar:
    """One part of a progress bar."""

    name: str
    width: str
    """percent"""


@dataclass(frozen=True)
class RunRow:
    """One run; the numbers are text."""

    run_id: str
    state: str
    note: str
    """what is special about the state: why it failed or waits, where the training stands; empty otherwise"""
    bars: tuple[Bar, ...]
    progress: str
    rate: str
    left: str
    kept: str
    rejected: str
    failed: str
    workers: str
    started: str
    started_at: str


@dataclass(frozen=True)
class Listing:
    """The page."""

    query: Query
    rows: tuple[RunRow, ...]
    summary: str
    states: tuple[str, ...]
    fleet: str
    """the fleet in one line"""
    fleet_bad: bool
    """whether a worker needs attention"""
    older: int | None
    newer: int | None
    """numbers of the neighbouring pages"""


def load(ledger: Ledger, query: Query) -> Listing:
    """The runs that match, newest first, and the fleet."""
    now, workers = ledger.fleet.now(), ledger.fleet.workers()
    every = ledger.run_ids()
    ids = [run_id for run_id in every if query.name.casefold() in run_id.casefold()]
    start = (query.page - 1) * PER_PAGE
    if query.state:
        read = [one for one in ledger.summaries.read(ids, now=now) if state_of(one) == query.state]
        matched, shown = len(read), read[start : start + PER_PAGE]
    else:
        matched, shown = len(ids), ledger.summaries.read(ids[start : start + PER_PAGE], now=now)
    rows = tuple(row(one, workers, _training(ledger, one), now=now) for one in shown)
    line, bad = fleet_line(workers)
    return Listing(
        query=query,
        rows=rows,
        summary=summary(matched, len(every), query, start, len(rows)),
        states=words.STATES,
        fleet=line,
        fleet_bad=bad,
        older=query.page + 1 if start + PER_PAGE < matched else None,
        newer=query.page - 1 if query.page > 1 else None,
    )


def summary(matched: int, total: int, query: Query, start: int, shown: int) -> str:
    """The numbers above the table."""
    if not total:
        return "The ledger has no run."
    found = f"{matched} of {words.counted(total, 'run')}" if query.name or query.state else words.counted(total, "run")
    return found if shown == matched else f"{found}, {start + 1} to {start + shown} shown"


def state_of(run: RunSummary) -> str:
    """One of words.STATES."""
    return words.run_state(run.control, current_stage(run))


def current_stage(run: RunSummary) -> str:
    """generate, the name of the stage that runs or comes next, done or failed."""
    if any(head.state is StageState.FAILED for head in run.stages):
        return "failed"
    if run.pending:
        return "generate"
    return next((head.stage.value for head in run.stages if not _over(head)), "done")


def row(run: RunSummary, workers: list[WorkerView], training: TrainingProgress | None, *, now: float) -> RunRow:
    """One run as text."""
    stage = current_stage(run)
    held = run.control is not RunControl.GO or any(head.state is StageState.RUNNING for head in run.stages)
    missing = "" if held else missing_role(stage, workers)
    per_minute = rate(run.recent, now=now) if run.pending else 0.0
    goes = run.control is RunControl.GO and not missing
    seconds = training.seconds_left if training else run.pending / per_minute * 60 if per_minute else None
    done = run.counts[JobState.GENERATED] + run.counts[JobState.FAILED]
    left = words.about(seconds if goes else None)
    return RunRow(
        run_id=run.run_id,
        state=words.run_state(run.control, stage),
        note=note(run, training, missing),
        bars=bars(run.counts, run.total),
        progress=f"{words.number(done)} of {words.number(run.total)}",
        rate=words.rate_text(per_minute) if goes else "",
        left=f"{left} left" if left else _took(run),
        kept=_curated(run, "kept"),
        rejected=_curated(run, "rejected"),
        failed=words.number(run.counts[JobState.FAILED]) if run.counts[JobState.FAILED] else "",
        workers=str(len(run.workers)) if run.workers else "",
        started=words.clock(run.created, now=now),
        started_at=words.stamp(run.created),
    )


def note(run: RunSummary, training: TrainingProgress | None, missing: str) -> str:
    """Why a run failed or waits, or where its training stands; "" if there is nothing to add."""
    failed = next((head for head in run.stages if head.state is StageState.FAILED), None)
    if failed:
        return words.shorten(f"{failed.stage.value}: {failed.error}")
    if missing:
        return f"no worker for {missing}"
    if run.control is RunControl.CANCELLED:
        return f"{words.counted(run.counts[JobState.CANCELLED], 'job')} not run"
    return training.line if training else ""


def bars(counts: dict[JobState, int], total: int) -> tuple[Bar, ...]:
    """The parts of the progress bar, in the order in which they are drawn."""
    order = (JobState.GENERATED, JobState.FAILED, JobState.RUNNING)
    return tuple(Bar(state.value, share(counts[state], total)) for state in order if counts[state])


def fleet_line(workers: Sequence[WorkerView]) -> tuple[str, bool]:
    """The fleet in one line, and whether a worker needs attention."""
    if not workers:
        return "No worker in the last day. Start one with `applejack worker generate`.", True
    silent = sum(view.silent_seconds > SILENT_SECONDS for view in workers)
    held = sum(bool(view.control.value) for view in workers if view.silent_seconds <= SILENT_SECONDS)
    alive = [view for view in workers if view.silent_seconds <= SILENT_SECONDS and not view.control.value]
    stopped = sum(bool(view.fields.get("paused")) for view in alive)
    wrong = sum(bool(view.fields.get("refuses")) and not view.fields.get("paused") for view in alive)
    parts = [f"{pluralise(len(alive) - stopped - wrong, 'worker')} ready"]
    parts += [f"{wrong} with another model than a run requests"] if wrong else []
    parts += [f"{stopped} paused by their endpoint or disk"] if stopped else []
    parts += [f"{held} held by a person"] if held else []
    parts += [f"{silent} not heard of"] if silent else []
    return ", ".join(parts), bool(stopped or silent or wrong)


def _curated(run: RunSummary, name: str) -> str:
    count = run.curated.get(name)
    return words.number(count) if isinstance(count, int) else ""


def _over(head: StageSummary) -> bool:
    return head.state in {StageState.DONE, StageState.SKIPPED}


def _took(run: RunSummary) -> str:
    ended = [head.finished for head in run.stages if head.state is StageState.DONE and head.finished]
    return f"took {words.about(max(ended) - run.created).removeprefix('about ')}" if _is_done(run) and ended else ""


def _is_done(run: RunSummary) -> bool:
    return current_stage(run) == "done"


def _training(ledger: Ledger, run: RunSummary) -> TrainingProgress | None:
    """Where the training of a run stands; only a running one is read."""
    running = any(head.stage is Stage.TRAIN and head.state is StageState.RUNNING for head in run.stages)
    return training_progress(ledger.stages.progress(run.run_id, Stage.TRAIN)) if running else None
