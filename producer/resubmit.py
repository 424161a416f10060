"""Select jobs of a run and run them again: what the command and the Runs pages share."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.errors import FailureKind, RejectionReason, UsageError
from config.ledger import Ledger, RunView
from config.records import JobState, Prompt, RunControl
from config.settings import Settings
from producer import enqueue


@dataclass(frozen=True)
class FinishedJob:
    """A job that has generated a trajectory or failed."""

    job_id: str
    kind: FailureKind | None
    """None if it completed"""
    reasons: tuple[RejectionReason, ...]
    worker: str
    prompt: Prompt


@dataclass(frozen=True)
class JobFilter:
    """Criteria for jobs; without any, every job matches."""

    kinds: tuple[FailureKind, ...] = ()
    reasons: tuple[RejectionReason, ...] = ()
    jobs: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()

    def matches(self, candidate: FinishedJob) -> bool:
        """Whether the job meets at least one criterion, or there are no criteria."""
        if not (self.kinds or self.reasons or self.jobs or self.workers):
            return True
        return (
            candidate.kind in self.kinds
            or bool(set(candidate.reasons) & set(self.reasons))
            or candidate.job_id in self.jobs
            or candidate.worker in self.workers
        )


@dataclass(frozen=True)
class Resubmission:
    """The jobs that would run again."""

    run: RunView
    jobs: list[FinishedJob]
    finished: list[FinishedJob]
    """all finished jobs of the run"""

    @property
    def by_kind(self) -> dict[str, int]:
        """Number of the jobs per failure kind or rejection reason."""
        return by_kind(self.jobs)

    @property
    def mix(self) -> list[tuple[str, float, float]]:
        """(category, its share of the run, its share of these jobs), most over-represented first."""
        return category_shift(self.jobs, self.finished)


def plan(ledger: Ledger, run_id: str, wanted: JobFilter, *, everything: bool = False) -> Resubmission:
    """The jobs that `resubmit` would run again: failed, rejected and named ones that match, or every finished job.

    Changes nothing. UsageError if there is no such run, or it is cancelled.
    """
    run = ledger.run(run_id)
    require_not_cancelled(run)
    finished = candidates(ledger, run_id)
    eligible = [job for job in finished if everything or job.kind or job.reasons or job.job_id in wanted.jobs]
    return Resubmission(run, eligible if everything else select(eligible, wanted), finished)


def plan_of(ledger: Ledger, run_id: str, job_ids: Sequence[str]) -> Resubmission:
    """A plan with exactly these finished jobs. It reads no others, and no verdicts: `reasons` and `mix` are empty."""
    run = ledger.run(run_id)
    require_not_cancelled(run)
    outcomes, prompts = ledger.jobs.outcomes(run_id, job_ids), ledger.jobs.prompts(run_id, job_ids)
    jobs = [
        FinishedJob(outcome.job_id, outcome.failure, (), outcome.worker, prompt)
        for outcome, prompt in zip(outcomes, prompts, strict=True)
    ]
    return Resubmission(run, jobs, [])


def resubmit(ledger: Ledger, settings: Settings, planned: Resubmission, *, train: bool) -> None:
    """Queue the jobs of a plan again; with `train`, training and evaluation follow the new curation.

    UsageError if the run has no student to train. StoreError, and nothing is changed, if one of the jobs has been
    queued again since.
    """
    spec = planned.run.spec
    if train and spec.trained_student is None:
        raise UsageError(f"run {spec.run_id!r} has no student to train; submit a new run with --student")
    spec = spec.model_copy(update={"train": train, "evaluate": train and spec.evaluate})
    ids = [job.job_id for job in planned.jobs]
    ledger.jobs.resubmit(spec.run_id, ids, train=spec.train, evaluate=spec.evaluate)
    enqueue.enqueue(settings, spec, ids, [job.prompt for job in planned.jobs])


def require_not_cancelled(run: RunView) -> None:
    """Raise UsageError if a run is cancelled: it must be resumed first."""
    if run.control is RunControl.CANCELLED:
        raise UsageError(
            f"run {run.spec.run_id!r} is cancelled; let it go on first: `applejack resume {run.spec.run_id}`"
        )


def candidates(ledger: Ledger, run_id: str) -> list[FinishedJob]:
    """Every finished job of a run, with its failure and rejection reasons."""
    verdicts = ledger.verdicts(run_id)
    ids = ledger.jobs.ids(run_id, JobState.GENERATED, JobState.FAILED)
    prompts = ledger.jobs.prompts(run_id, ids)
    finished = []
    for outcome, prompt in zip(ledger.jobs.outcomes(run_id, ids), prompts, strict=True):
        verdict = verdicts.get(outcome.job_id)
        reasons = verdict.reasons if verdict else ()
        if outcome.truncated and RejectionReason.TRUNCATED not in reasons:  # known before curation
            reasons = (*reasons, RejectionReason.TRUNCATED)
        finished.append(FinishedJob(outcome.job_id, outcome.failure, reasons, outcome.worker, prompt))
    return finished


def select(candidates: Iterable[FinishedJob], wanted: JobFilter) -> list[FinishedJob]:
    """The jobs to run again, ordered by id."""
    return sorted((job for job in candidates if wanted.matches(job)), key=lambda job: job.job_id)


def by_kind(chosen: Sequence[FinishedJob]) -> dict[str, int]:
    """Number of jobs per failure kind; for jobs that completed, per rejection reason."""
    counts: Counter[str] = Counter()
    for job in chosen:
        counts.update([job.kind.value] if job.kind else [reason.value for reason in job.reasons] or ["kept"])
    return dict(sorted(counts.items()))


def category_shift(chosen: Sequence[FinishedJob], of_run: Sequence[FinishedJob]) -> list[tuple[str, float, float]]:
    """(category, share of the run, share of the retried jobs), most over-represented first."""
    if not chosen or not of_run:
        return []
    retried, whole_run = (Counter(job.prompt.category for job in jobs) for jobs in (chosen, of_run))
    rows = [(name, count / len(of_run), retried[name] / len(chosen)) for name, count in whole_run.items()]
    return sorted(rows, key=lambda row: row[1] - row[2])


def job_named(ledger: Ledger, run_id: str, text: str) -> str:
    """Id of a job, given its id or number; UsageError if there is no such job."""
    ids = ledger.jobs.ids(run_id)
    found = [job_id for job_id in ids if job_id == text or (text.isdigit() and int(job_id.split("-")[0]) == int(text))]
    if not found:
        raise UsageError(
            f"run {run_id!r} has no job {text!r}; job ids look like {ids[0] if ids else '000001-3fa9c1d2'!r}"
        )
    return found[0]
