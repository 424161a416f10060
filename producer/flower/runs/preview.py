"""What a resubmission or a cancellation would do, for the dialog that asks before it happens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from config.errors import FailureKind, RejectionReason, UsageError
from config.ledger import Ledger
from config.records import JobState
from producer.flower.runs import words
from producer.resubmit import JobFilter, Resubmission, plan

SHOWN = 8  # categories
NOTABLE = 0.05  # a shift of the mix below this is not worth a sentence

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Category:
    """One category of questions."""

    name: str
    of_run: str
    of_these: str
    run_width: str
    these_width: str
    """percent, for the bars"""


@dataclass(frozen=True)
class Preview:
    """The dialog of a resubmission."""

    run_id: str
    jobs: int
    title: str
    causes: tuple[tuple[str, str], ...]
    """(cause in words, number of jobs)"""
    mix: tuple[Category, ...]
    mix_sentence: str
    version: int
    """of the dataset that follows"""
    can_train: bool
    fields: tuple[tuple[str, str], ...]
    """of the form: what is selected"""


def wanted(kinds: Iterable[str], reasons: Iterable[str], jobs: Iterable[str]) -> JobFilter:
    """The filter that a form asks for; UsageError if a kind or reason does not exist."""
    return JobFilter(_members(FailureKind, kinds), _members(RejectionReason, reasons), tuple(jobs))


def preview(ledger: Ledger, run_id: str, chosen: JobFilter) -> Preview:
    """What resubmitting the chosen jobs would do; UsageError as of producer.resubmit.plan."""
    planned = plan(ledger, run_id, chosen)
    return of_plan(planned, chosen)


def of_plan(planned: Resubmission, chosen: JobFilter) -> Preview:
    """The same for a plan."""
    titles = {**words.REJECTIONS, **words.FAILURES}
    return Preview(
        run_id=planned.run.spec.run_id,
        jobs=len(planned.jobs),
        title=f"Resubmit {words.counted(len(planned.jobs), 'job')}?" if planned.jobs else "No job to resubmit",
        causes=tuple((titles.get(name, name), words.number(count)) for name, count in planned.by_kind.items()),
        mix=tuple(_category(*shift) for shift in planned.mix[:SHOWN]),
        mix_sentence=mix_sentence(planned.mix),
        version=planned.run.version + 1,
        can_train=planned.run.spec.trained_student is not None,
        fields=(
            *(("kind", kind.value) for kind in chosen.kinds),
            *(("reason", reason.value) for reason in chosen.reasons),
            *(("job", job) for job in chosen.jobs),
        ),
    )


def mix_sentence(mix: Sequence[tuple[str, float, float]]) -> str:
    """What the new attempts may do to the mix of categories; `mix` is that of a Resubmission."""
    if not mix:
        return ""
    name, of_run, of_these = mix[0]
    if of_these - of_run < NOTABLE:
        return "Their categories are mixed like the run's, so the dataset's mix stays as it is."
    return (
        f"{name!r} is {of_these:.0%} of these jobs and {of_run:.0%} of the run: "
        "what they yield shifts the dataset towards it."
    )


def cancel_sentence(ledger: Ledger, run_id: str) -> str:
    """What a cancellation does now; UsageError if there is no such run."""
    ledger.run(run_id)
    counts = ledger.jobs.counts(run_id)
    queued, running = counts[JobState.QUEUED], counts[JobState.RUNNING]
    done = counts[JobState.GENERATED] + counts[JobState.FAILED]
    flight = f" and {running} in flight" if running else ""
    return (
        f"{words.counted(queued, 'queued job')}{flight} will not run. The {words.counted(done, 'finished job')} stay. "
        "A cancelled run can be resumed, or curated as it is."
    )


def _category(name: str, of_run: float, of_these: float) -> Category:
    return Category(name, f"{of_run:.0%}", f"{of_these:.0%}", f"{100 * of_run:.1f}", f"{100 * of_these:.1f}")


def _members(kind: type[E], values: Iterable[str]) -> tuple[E, ...]:
    try:
        return tuple(kind(value) for value in values)
    except ValueError as error:
        raise UsageError(f"{error}; choose one of {', '.join(member.value for member in kind)}") from error
