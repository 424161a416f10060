"""A run in calm weather and the same run in a storm, and whether the storm left a trace."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.errors import StoreError, UsageError
from config.ledger import Ledger
from config.records import JobState, JsonObject, Prompt, Spec, StageState
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.run_status import RunStatus, status
from tests.support.chaos.faults import Fault
from tests.support.chaos.fleet import Fleet

CALM, STORM = "calm", "storm"
LOOK_SECONDS = 0.1
TOLD_SECONDS = 10.0  # between two lines of progress
UNLIMITED = 1_000_000  # deliveries: no job is to blame for what the storm does to its workers
WRITTEN = ("train.jsonl", "valid.jsonl", "test.jsonl", "rejected.jsonl", "held_out.jsonl", "valid_prompts.jsonl")


@dataclass(frozen=True)
class Trace:
    """What a run left behind."""

    status: RunStatus
    verdicts: int
    trajectories: int
    """distinct jobs with a trajectory"""
    stored: int
    """trajectories counted as stored, over all workers, since the ledger last lost its counts"""
    restored: int
    """trajectories that a recovery put back, since then; each job's trajectory was stored or put back once"""
    files: dict[str, bytes]
    """the dataset as it lies in the ledger"""
    summary: JsonObject
    deliveries: Counter[int]
    """jobs by the times they were begun"""
    lost: int
    """leases that lapsed"""
    handed_back: int
    """jobs that a worker gave back because its model server was in trouble"""
    curations: int
    """times curation was begun"""
    seconds: float


def submit(fleet: Fleet, run_id: str, prompts: Sequence[Prompt], *, workspace: Path, student: Path) -> Ledger:
    """Queue a run whose teacher is the model server of whichever worker has the job; its ledger."""
    spec = Spec(
        run_id=run_id, workspace=str(workspace), student=str(student), dataset_format="turns",
        max_seq_length=4096, train=False, delivery_limit=UNLIMITED,
    )  # fmt: skip
    ledger = fleet.person.ledger
    fleet.begin(run_id, lambda: enqueue.submit(ledger, Settings(redis_url=fleet.server.url), spec, prompts))
    return ledger


def weather(fleet: Fleet, ledger: Ledger, run_id: str, faults: Sequence[Fault], *, seconds: float) -> float:
    """Watch a run to its end, doing each fault when its time has come; how long it took.

    Once all jobs are terminal, whichever worker curates is killed too, when there were faults at all.
    """
    started = spoken = time.monotonic()
    ahead, curator_spared = list(faults), bool(faults)
    while True:
        fleet.tend()
        try:
            counts = ledger.jobs.counts(run_id)
            terminal = counts[JobState.GENERATED] + counts[JobState.FAILED]
            if ahead and ahead[0].at <= terminal and fleet.inject(ahead[0]):
                ahead.pop(0)
            if time.monotonic() - spoken > TOLD_SECONDS:
                spoken = time.monotonic()
                jobs = f"{terminal} of {sum(counts.values())} jobs terminal"
                tell(run_id, jobs if terminal else f"{jobs}{paused(ledger)}", faults, ahead, spoken - started)
            if not fleet.person.recovery.pending:
                curation = ledger.stages.view(run_id, Stage.CURATE)
                if curator_spared and curation.state is StageState.RUNNING:
                    curator_spared = not fleet.kill(curation.worker)
                if status(ledger, run_id).stage in {"done", "failed"}:
                    fleet.calm()
                    return time.monotonic() - started
        except StoreError:
            pass  # the broker is down on purpose
        except UsageError:  # there is no such run, until it is recovered
            assert fleet.person.recovery.pending, f"{run_id} is gone"
        assert time.monotonic() - started < seconds, f"not over within {seconds:.0f} s: {log_tail(ledger, run_id)}"
        time.sleep(LOOK_SECONDS)


def tell(run_id: str, jobs: str, faults: Sequence[Fault], ahead: Sequence[Fault], seconds: float) -> None:
    """Print the progress of a run to stderr."""
    number = len(faults) - len(ahead)
    last = f" (last: {faults[number - 1].kind.value})" if number else ""
    print(
        f"{run_id}: {jobs}, {number} of {len(faults)} faults done{last}, {seconds:.0f} s", file=sys.stderr, flush=True
    )


def paused(ledger: Ledger) -> str:
    """Why workers take no jobs, for a run in which nothing moves."""
    reasons = {str(view.fields["paused"]) for view in ledger.fleet.workers() if view.fields.get("paused")}
    return f" (paused: {'; '.join(sorted(reasons))})" if reasons else ""


def log_tail(ledger: Ledger, run_id: str) -> str:
    """Where a run stands, for a message about its never ending."""
    owed = ledger.jobs.ids(run_id, JobState.QUEUED, JobState.RUNNING)[:3]
    return f"{status(ledger, run_id)}, owed {[ledger.jobs.view(run_id, job_id) for job_id in owed]}"


def trace(ledger: Ledger, run_id: str, folder: Path, *, seconds: float) -> Trace:
    """What a run left behind."""
    views = [ledger.jobs.view(run_id, job_id) for job_id in ledger.jobs.ids(run_id)]
    events = [[event.event for event in view.history] for view in views]
    files = ledger.files.get(run_id, "dataset", folder / f"dataset-{run_id}")
    curation = ledger.stages.view(run_id, Stage.CURATE)
    return Trace(
        status=status(ledger, run_id),
        verdicts=len(ledger.verdicts(run_id)),
        trajectories=len({trajectory.job_id for trajectory in ledger.jobs.trajectories(run_id)}),
        stored=sum(ledger.counters(run_id)[1].values()),
        restored=sum(seen.count("restored") for seen in events),
        files={file.name: file.read_bytes() for file in files if file.name in WRITTEN},
        summary=curation.result,
        deliveries=Counter(seen.count("started") for seen in events),
        lost=sum(seen.count("lost") for seen in events),
        handed_back=sum(seen.count("handed_back") for seen in events),
        curations=[event.event for event in curation.history].count("started"),
        seconds=seconds,
    )


def damage(calm: Trace, storm: Trace, jobs: int) -> list[str]:
    """What the storm broke, in words; empty when nothing."""
    seen = storm.status
    rules: list[tuple[str, Callable[[], bool]]] = [
        (f"the run ended as {seen.stage}: {seen.error}", lambda: seen.stage == "done"),
        (f"{seen.failed} jobs failed: {seen.kinds}", lambda: seen.failed == 0),
        (f"{seen.generated} of {jobs} jobs were generated", lambda: seen.generated == jobs),
        (f"{seen.queued} queued, {seen.running} running at the end", lambda: seen.queued + seen.running == 0),
        (f"{storm.trajectories} of {jobs} jobs have a trajectory", lambda: storm.trajectories == jobs),
        (
            f"{storm.stored} trajectories were stored and {storm.restored} put back for {jobs} jobs",
            lambda: storm.stored + storm.restored == jobs,
        ),
        (f"{storm.verdicts} verdicts for {jobs} jobs", lambda: storm.verdicts == jobs),
        (f"curation read {storm.summary.get('read')} of {jobs}", lambda: storm.summary.get("read") == jobs),
        (f"kept {seen.kept} and rejected {seen.rejected} of {jobs}", lambda: both(seen) == jobs),
        (
            f"content hash {storm.summary.get('content_hash')}, in calm {calm.summary.get('content_hash')}",
            lambda: storm.summary.get("content_hash") == calm.summary.get("content_hash"),
        ),
        *(
            (f"{name} differs from the calm run's", lambda name=name: storm.files.get(name) == calm.files.get(name))
            for name in WRITTEN
        ),
    ]
    return [said for said, holds in rules if not holds()]


def both(seen: RunStatus) -> int:
    """Kept and rejected together."""
    return (seen.kept or 0) + (seen.rejected or 0)
