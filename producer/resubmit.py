"""Which jobs to run again: pure, from what the ledger knows of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.errors import FailureKind, RejectionReason, UsageError
from config.ledger import Ledger
from config.records import Prompt


@dataclass(frozen=True)
class FinishedJob:
    """A terminal job that did not end in the dataset."""

    job_id: str
    kind: FailureKind | None
    """None when it completed"""
    reasons: tuple[RejectionReason, ...]
    worker: str
    prompt: Prompt


@dataclass(frozen=True)
class JobFilter:
    """What is asked for; nothing named means every failed and rejected job."""

    kinds: tuple[FailureKind, ...] = ()
    reasons: tuple[RejectionReason, ...] = ()
    jobs: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()

    def matches(self, candidate: FinishedJob) -> bool:
        """Whether one of the named criteria matches; all do when none is named."""
        if not (self.kinds or self.reasons or self.jobs or self.workers):
            return True
        return (
            candidate.kind in self.kinds
            or bool(set(candidate.reasons) & set(self.reasons))
            or candidate.job_id in self.jobs
            or candidate.worker in self.workers
        )


def select(candidates: Iterable[FinishedJob], wanted: JobFilter) -> list[FinishedJob]:
    """The jobs to run again, in order."""
    return sorted((one for one in candidates if wanted.matches(one)), key=lambda one: one.job_id)


def by_kind(chosen: Sequence[FinishedJob]) -> dict[str, int]:
    """How many per failure kind, and per rejection reason for those that completed."""
    counts: Counter[str] = Counter()
    for one in chosen:
        counts.update([one.kind.value] if one.kind else [reason.value for reason in one.reasons] or ["kept"])
    return dict(sorted(counts.items()))


def category_shift(chosen: Sequence[FinishedJob], of_run: Sequence[FinishedJob]) -> list[tuple[str, float, float]]:
    """(category, its share of the run, its share of the retried), most over-represented first."""
    retried, everyone = (Counter(one.prompt.category for one in some) for some in (chosen, of_run))
    total, again = len(of_run), len(chosen)
    rows = [(name, count / total, retried[name] / again) for name, count in everyone.items()] if total and again else []
    return sorted(rows, key=lambda row: row[1] - row[2])


def job_named(ledger: Ledger, run_id: str, text: str) -> str:
    """A job by its id or its number; UsageError when there is none."""
    ids = ledger.jobs.ids(run_id)
    found = [job_id for job_id in ids if job_id == text or (text.isdigit() and int(job_id.split("-")[0]) == int(text))]
    if not found:
        raise UsageError(
            f"run {run_id!r} has no job {text!r}; job ids look like {ids[0] if ids else '000001-3fa9c1d2'!r}"
        )
    return found[0]
