"""Which jobs "all that match" takes, and what the preview of a resubmission counts."""

import pytest

from config.errors import FailureKind
from config.ledger.jobs import JobRow
from config.records import JobState, Prompt
from producer.flower.jobs.index import JobIndex, PromptEntry
from producer.flower.jobs.query import JobQuery
from producer.flower.jobs.selection import MixRow, eligible, eligible_count, preview

IDS = [f"{number:06d}-a" for number in range(1, 8)]
CATEGORIES = ("count", "count", "define", "define", "define", "count", "define")


@pytest.fixture
def index() -> JobIndex:
    """Kept, kept, rejected for two reasons, failed, truncated before curation, running and queued."""
    prompts = {
        job_id: PromptEntry.of(Prompt(prompt=f"q {job_id}", category=category))
        for job_id, category in zip(IDS, CATEGORIES, strict=True)
    }
    found = JobIndex(prompts)
    rows = [JobRow(job_id, JobState.GENERATED, 1, "mac-1", None, False, 1.0) for job_id in IDS[:3]]
    rows.append(JobRow(IDS[3], JobState.FAILED, 1, "mac-1", FailureKind.TIMEOUT, False, 1.0))
    rows.append(JobRow(IDS[4], JobState.GENERATED, 1, "mac-1", None, True, 1.0))
    rows.append(JobRow(IDS[5], JobState.RUNNING, 1, "mac-1", None, False, None))
    found.apply(rows)
    verdicts = {IDS[0]: (), IDS[1]: (), IDS[2]: ("duplicate", "null_result"), IDS[3]: ("failed_generation",)}
    found.judge(verdicts, stale_after=None)
    return found


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (JobQuery(), [3, 4, 5]),  # no kept job, no matter how empty the filters are
        (JobQuery(category="define"), [3, 4, 5]),
        (JobQuery(state="kept"), [1, 2]),  # unless they are asked for
        (JobQuery(state="generated"), [3, 5]),
        (JobQuery(cause="timeout"), [4]),
        (JobQuery(state="running"), []),
        (JobQuery(text="q 000003"), [3]),
    ],
)
def test_all_that_match_are_the_failed_and_rejected_ones(index: JobIndex, query: JobQuery, numbers: list[int]) -> None:
    assert [place + 1 for place in eligible(index, query)] == numbers
    assert eligible_count(index, query) == len(numbers)


def test_the_preview_counts_causes_categories_and_jobs_that_cannot_run(index: JobIndex) -> None:
    found = preview(index, [0, 2, 3, 5, 6])
    assert found.job_ids == (IDS[0], IDS[2], IDS[3])
    assert found.unfinished == 2
    assert found.causes == {"kept": 1, "duplicate": 1, "null_result": 1, "timeout": 1}
    assert found.mix == (
        MixRow("define", 3, 2, pytest.approx(0.6), pytest.approx(2 / 3)),
        MixRow("count", 2, 1, pytest.approx(0.4), pytest.approx(1 / 3)),
    )
    assert preview(index, [6]).job_ids == ()
