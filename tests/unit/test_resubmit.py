"""Selecting the jobs to run again."""

import pytest

from config.errors import FailureKind, RejectionReason
from config.records import Prompt
from producer.commands.resubmit import mix_lines
from producer.resubmit import FinishedJob, JobFilter, by_kind, category_shift, select

TIMEOUT, LOST = FailureKind.TIMEOUT, FailureKind.WORKER_LOST
NULL, DUPLICATE = RejectionReason.NULL_RESULT, RejectionReason.DUPLICATE

COUNT, DEFINE = Prompt(prompt="How many?", category="count"), Prompt(prompt="Where?", category="define")

JOBS = [
    FinishedJob("000001-a", TIMEOUT, (RejectionReason.FAILED_GENERATION,), "mac1", COUNT),
    FinishedJob("000002-b", LOST, (RejectionReason.FAILED_GENERATION,), "mac2", COUNT),
    FinishedJob("000003-c", None, (NULL, DUPLICATE), "mac1", DEFINE),
    FinishedJob("000004-d", None, (DUPLICATE,), "mac2", DEFINE),
]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (JobFilter(), [1, 2, 3, 4]),  # no criteria: all jobs
        (JobFilter(kinds=(TIMEOUT,)), [1]),
        (JobFilter(kinds=(TIMEOUT, LOST)), [1, 2]),
        (JobFilter(reasons=(DUPLICATE,)), [3, 4]),  # one of several reasons is enough
        (JobFilter(reasons=(NULL,)), [3]),
        (JobFilter(workers=("mac2",)), [2, 4]),
        (JobFilter(jobs=("000004-d",)), [4]),
        (JobFilter(kinds=(TIMEOUT,), reasons=(NULL,)), [1, 3]),  # several criteria: any of them
        (JobFilter(kinds=(FailureKind.INTERNAL,)), []),
    ],
)
def test_only_matching_jobs_are_selected(wanted: JobFilter, numbers: list[int]) -> None:
    assert [int(job.job_id[:6]) for job in select(reversed(JOBS), wanted)] == numbers


def test_jobs_are_counted_by_failure_kind_or_rejection_reason() -> None:
    assert by_kind(JOBS) == {"duplicate": 2, "null_result": 1, "timeout": 1, "worker_lost": 1}


def test_category_shift_lists_over_represented_categories_first() -> None:
    rows = category_shift(JOBS[:2], [*JOBS[:2], *JOBS[2:] * 3])
    assert rows == [("count", 0.25, 1.0), ("define", 0.75, 0.0)]
    assert category_shift([], JOBS) == []


MIXES = [
    # (category, share of the run, share of the jobs) of each, the lines
    ([], []),
    ([("a", 0.5, 0.52), ("b", 0.5, 0.48)], ["categories: as in the run, within 5 points"]),
    (
        [("a", 0.5, 1.0), ("b", 0.5, 0.0)],
        ["a: 100% of these jobs, 50% of the run", "b: 0% of these jobs, 50% of the run"],
    ),
    (
        [("a", 0.2, 0.3), ("b", 0.8, 0.77)],
        ["a: 30% of these jobs, 20% of the run", "1 other category: within 5 points of the run"],
    ),
    (
        [(name, 0.0, 0.1) for name in "abcdefghij"],
        [*(f"{name}: 10% of these jobs, 0% of the run" for name in "abcd"), "6 other categories: --json lists all"],
    ),
]


@pytest.mark.parametrize(("mix", "lines"), MIXES)
def test_only_categories_whose_share_changes_are_listed(mix: list[tuple[str, float, float]], lines: list[str]) -> None:
    assert mix_lines(mix) == lines
