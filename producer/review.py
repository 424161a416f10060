"""Collect a run's trajectories and verdicts from the ledger for its review page."""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.atomic_files import write_lines
from config.errors import StoreError
from config.ledger import Judged, Ledger, RunView
from config.ledger.jobs import CHUNK, JobRow
from config.ledger.stages import StageView
from config.records import JobState, RunControl, StageState, Verdict
from config.review_file import ReviewHead, ReviewLine, Side
from config.topology import Stage
from producer.output import pluralise
from producer.stage_results import counted

MOST = 2000  # trajectories of one reason on the page: 5 MB, which a browser unpacks in a second
TRIES = 3  # the ledger is read again if the run was curated or resubmitted meanwhile
NOT_JUDGED = "not judged yet"
FINISHED = (JobState.GENERATED, JobState.FAILED)


@dataclass(frozen=True)
class Place:
    """A finished job on the page."""

    job_id: str
    attempt: int
    side: Side
    why: str


class Sample:
    """The jobs with the smallest hashes, at most `most` of each reason (None: all): no part of a run is preferred."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._heaps: dict[str, list[tuple[int, str, Place]]] = defaultdict(list)

    def add(self, place: Place, reasons: Sequence[str]) -> None:
        """Offer a job under each of its reasons."""
        digest = hashlib.blake2b(place.job_id.encode(), digest_size=8).digest()
        entry = (-int.from_bytes(digest, "big"), place.job_id, place)
        for reason in reasons:
            heap = self._heaps[f"{place.side} {reason}"]
            if self._most is None or len(heap) < self._most:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)

    def places(self) -> list[Place]:
        """The chosen jobs, in the order of the prompts."""
        chosen = {job_id: place for heap in self._heaps.values() for _, job_id, place in heap}
        return [chosen[job_id] for job_id in sorted(chosen)]


@dataclass
class Tally:
    """What was counted while the jobs were read."""

    states: Counter[str] = field(default_factory=Counter)
    sides: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[bool] = field(default_factory=Counter)
    again: int = 0
    finished_again: int = 0


def write_review_file(ledger: Ledger, run_id: str, out: Path, *, most: int = MOST) -> ReviewHead:
    """Write the review file of a run, in whatever state it is; returns its head.

    A trajectory is shown with a verdict only if the verdict is of that attempt. Memory holds the job ids and CHUNK
    trajectories. `most`: trajectories of one reason; 0 for all. UsageError if there is no such run.
    """
    for _ in range(TRIES):
        before = ledger.run(run_id)
        head, places = survey(ledger, before, most=most)
        write_lines(out, _lines(ledger, run_id, head, places))
        after = ledger.run(run_id)
        if (after.judged, after.bulk, after.version) == (before.judged, before.bulk, before.version):
            return head
    raise StoreError(f"run {run_id!r} was changed {TRIES} times while it was read; try again")


def survey(ledger: Ledger, run: RunView, *, most: int) -> tuple[ReviewHead, list[Place]]:
    """Count all jobs of a run, and choose those that the page shows."""
    run_id = run.spec.run_id
    stage = ledger.stages.view(run_id, Stage.CURATE)
    judged = judged_by(run, stage)
    tally, sample = Tally(), Sample(most or None)
    ids = ledger.jobs.ids(run_id)
    for chunk in (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
        verdicts = ledger.verdicts_of(run_id, chunk)
        for row, verdict in zip(ledger.jobs.rows(run_id, chunk), verdicts, strict=True):
            _count(row, verdict, judged, tally, sample)
    places = sample.places()
    return _head(run, stage, judged, tally, len(places)), places


def judged_by(run: RunView, stage: StageView) -> Judged:
    """The curation that the stored verdicts are of.

    A worker of an earlier version does not record it. Then it is the curation that has ended, or else the one before
    the last resubmission.
    """
    if run.judged:
        return run.judged
    if stage.started and stage.state in {StageState.DONE, StageState.FAILED}:
        return Judged(run.version, stage.started)
    resubmitted = [event.at for event in run.history if event.event == "resubmitted"]
    return Judged(max(1, run.version - 1), resubmitted[-1] if resubmitted else 0.0)


def is_current(row: JobRow, judged: Judged) -> bool:
    """Whether the verdict of a job is of its newest attempt."""
    return row.state in FINISHED and row.finished is not None and row.finished <= judged.at


def _count(row: JobRow, verdict: Verdict | None, judged: Judged, tally: Tally, sample: Sample) -> None:
    tally.states[row.state.value] += 1
    finished = row.state in FINISHED
    current = verdict is not None and is_current(row, judged)
    if verdict is not None:
        tally.verdicts[verdict.kept] += 1
        tally.again += not current
        tally.finished_again += finished and not current
    if row.state is JobState.FAILED and row.failure:
        tally.failures[row.failure.value] += 1
    if not finished:
        return
    if verdict is not None and current:
        side: Side = "kept" if verdict.kept else "rejected"
        why, reasons = "", [reason.value for reason in verdict.reasons] or [""]
        tally.reasons.update(reason for reason in reasons if reason)
    else:
        side = "open"
        why = f"failed: {row.failure.value}" if row.failure else "truncated" if row.truncated else NOT_JUDGED
        reasons = [why]
    tally.sides[side] += 1
    sample.add(Place(row.job_id, row.attempt, side, why), reasons)


def _head(run: RunView, stage: StageView, judged: Judged, tally: Tally, shown: int) -> ReviewHead:
    curated = bool(tally.verdicts)
    head = ReviewHead(
        run_id=run.spec.run_id,
        version=run.version,
        judged_version=judged.version if curated else None,
        states={state.value: tally.states[state.value] for state in JobState},
        kept=tally.sides["kept"],
        rejected=tally.sides["rejected"],
        open=tally.sides["open"],
        again=tally.again,
        reasons=dict(tally.reasons.most_common()),
        failures=dict(tally.failures.most_common()),
        shown=shown,
        correct=counted(stage.result.get("correct")),
    )
    return head.model_copy(update={"notes": tuple(notes(head, run, stage, tally))})


def notes(head: ReviewHead, run: RunView, stage: StageView, tally: Tally) -> Iterator[str]:
    """What a reader must know to understand the counts."""
    unfinished = tally.states["queued"] + tally.states["running"]
    if head.judged_version is None:
        failed = f", {head.states['failed']} of them failed" if head.states["failed"] else ""
        finished = sum(tally.states[state.value] for state in FINISHED)
        total = pluralise(sum(tally.states.values()), "job")
        yield f"There are no verdicts yet: {finished} of {total} finished{failed}; curation follows the last one."
    elif tally.again or head.judged_version != head.version:
        of_then = f"{tally.verdicts[True]} kept, {tally.verdicts[False]} rejected"
        yield f"The verdicts are of version {head.judged_version} ({of_then}); the run is at version {head.version}."
        if tally.again:
            done = tally.finished_again
            states = [f"{done} finished and have no verdict yet"] * bool(done)
            states += [f"{tally.again - done} did not finish yet"] * (done < tally.again)
            jobs = pluralise(tally.again, "job")
            yield f"Submitted again since: {jobs}, whose older attempts are not shown; {', '.join(states)}."
    if stage.state is StageState.FAILED:
        yield f"Curation failed: {stage.error}"
    elif head.judged_version is not None and not unfinished and stage.state in {StageState.READY, StageState.RUNNING}:
        yield "Curation runs again; these are the verdicts of the one before."
    if run.control is RunControl.CANCELLED or tally.states["cancelled"]:
        jobs = pluralise(tally.states["cancelled"], "job")
        yield f"{jobs} cancelled; `applejack resume {run.spec.run_id}` queues what is cancelled."
    elif run.control is RunControl.PAUSED:
        yield f"The run is paused; `applejack resume {run.spec.run_id}` lets it go on."
    if head.shown < (finished := head.kept + head.rejected + head.open):
        yield f"The page holds {head.shown} of {finished} trajectories, a sample of each reason; counts are of the run."


def _lines(ledger: Ledger, run_id: str, head: ReviewHead, places: list[Place]) -> Iterator[str]:
    yield head.model_dump_json()
    for chunk in (places[start : start + CHUNK] for start in range(0, len(places), CHUNK)):
        trajectories = ledger.jobs.attempts(run_id, [(place.job_id, place.attempt) for place in chunk])
        verdicts = ledger.verdicts_of(run_id, [place.job_id for place in chunk])
        for place, trajectory, verdict in zip(chunk, trajectories, verdicts, strict=True):
            judged = None if place.side == "open" else verdict
            line = ReviewLine(side=place.side, trajectory=trajectory, verdict=judged, why=place.why)
            yield line.model_dump_json()
