"""Select the jobs to run again: pure functions of the ledger's records."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.errors import FailureKind, RejectionReason, UsageError
from config.ledger import Ledger
from config.records import Prompt


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
