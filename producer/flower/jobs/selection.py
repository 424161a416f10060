"""Which jobs a resubmission takes, and what it would do, counted in the index."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from producer.flower.jobs.index import JobIndex
from producer.flower.jobs.query import KEPT, JobQuery, Profile


@dataclass(frozen=True)
class MixRow:
    """One category, in the run and among the chosen jobs."""

    category: str
    of_run: int
    of_chosen: int
    run_share: float
    chosen_share: float


@dataclass(frozen=True)
class Preview:
    """What a resubmission would do."""

    job_ids: tuple[str, ...]
    unfinished: int
    """chosen jobs that cannot run again, because they have not finished"""
    causes: dict[str, int]
    """failure kind, rejection reason, "kept" or "not curated" -> jobs; a job with two reasons counts for both"""
    mix: tuple[MixRow, ...]
    """most over-represented category first"""


def eligible(index: JobIndex, query: JobQuery) -> list[int]:
    """Positions of the matching jobs that "all that match" takes: failed and rejected ones.

    Kept jobs are taken if the filter asks for them, so that nobody repeats a whole run by leaving the filters empty.
    """
    return index.filtered(index.places(query), lambda profile: takes(profile, query))


def eligible_count(index: JobIndex, query: JobQuery) -> int:
    """Number of those jobs."""
    return sum(count for profile, count in index.tally(query) if takes(profile, query))


def takes(profile: Profile, query: JobQuery) -> bool:
    """Whether "all that match" takes a job of this profile."""
    return profile.finished and bool(profile.cause or profile.reasons or query.state == KEPT)


def preview(index: JobIndex, places: Sequence[int]) -> Preview:
    """Count what would happen if the jobs at these positions ran again."""
    chosen = index.filtered(places, lambda profile: profile.finished)
    tally = index.profiles(chosen)
    return Preview(
        tuple(index.ids[place] for place in chosen), len(places) - len(chosen), causes(tally),
        mix([(profile, count) for profile, count in index.all_profiles() if profile.finished], tally),
    )  # fmt: skip


def causes(tally: Sequence[tuple[Profile, int]]) -> dict[str, int]:
    """Number of jobs per cause, most frequent first."""
    counts: Counter[str] = Counter()
    for profile, count in tally:
        other = "not curated" if profile.kept is None else KEPT
        for cause in (profile.cause,) if profile.cause else profile.reasons or (other,):
            counts[cause] += count
    return dict(counts.most_common())


def mix(of_run: Sequence[tuple[Profile, int]], chosen: Sequence[tuple[Profile, int]]) -> tuple[MixRow, ...]:
    """Categories of the finished jobs of the run, and of the chosen ones."""
    run, picked = Counter[str](), Counter[str]()
    for counts, tally in ((run, of_run), (picked, chosen)):
        for profile, count in tally:
            counts[profile.category] += count
    whole, part = max(1, run.total()), max(1, picked.total())
    rows = [MixRow(name, n, picked[name], n / whole, picked[name] / part) for name, n in run.items()]
    return tuple(sorted(rows, key=lambda row: (row.run_share - row.chosen_share, row.category)))
