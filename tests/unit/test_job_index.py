"""The index of a run's jobs: filters, counts, order, and that small changes lead to the same as reading everything."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import FailureKind
from config.ledger.jobs import JobRow
from config.records import JobState, Prompt
from producer.flower.jobs.index import JobIndex, Judged, PromptEntry
from producer.flower.jobs.query import STATES, JobQuery

WORKERS, CATEGORIES = ("", "mac-1", "mac-2"), ("count", "define")
PROMPTS = {
    f"{number:06d}-{'ab'[number % 2]}": Prompt(prompt=text, category=CATEGORIES[number % 2])
    for number, text in enumerate(
        ("Where is Timer defined?", "How many  files?", "which TIMER?", "Größe?", "a\0b", "how many\nfiles import it?"),
        1,
    )
}
IDS = sorted(PROMPTS)


def row(
    number: int, state: JobState, *, kind: FailureKind | None = None, worker: str = "mac-1", at: float = 1.0,
    truncated: bool = False, attempt: int = 1,
) -> JobRow:  # fmt: skip
    return JobRow(IDS[number - 1], state, attempt, worker, kind, truncated, at, at)


def index(rows: list[JobRow] | None = None, verdicts: dict[str, Judged] | None = None) -> JobIndex:
    found = JobIndex({job_id: PromptEntry.of(prompt) for job_id, prompt in PROMPTS.items()})
    found.apply(rows or [])
    found.judge(verdicts or {}, stale_after=None)
    return found


ROWS = [
    row(1, JobState.GENERATED, at=10),
    row(2, JobState.FAILED, kind=FailureKind.TIMEOUT, worker="mac-2", at=30),
    row(3, JobState.GENERATED, at=20, truncated=True),
    row(4, JobState.RUNNING, worker="mac-2", at=40),
]
VERDICTS: dict[str, Judged] = {IDS[0]: (), IDS[1]: ("failed_generation",)}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (JobQuery(), [1, 2, 3, 4, 5, 6]),
        (JobQuery(state="queued"), [5, 6]),
        (JobQuery(state="running"), [4]),
        (JobQuery(state="generated"), [1, 3]),
        (JobQuery(state="kept"), [1]),
        (JobQuery(state="rejected"), [2]),  # a failed job is among the rejected ones, as in the counts of curation
        (JobQuery(cause="timeout"), [2]),
        (JobQuery(reason="truncated"), [3]),  # known before curation
        (JobQuery(category="define"), [1, 3, 5]),
        (JobQuery(worker="mac-2"), [2, 4]),
        (JobQuery(worker="mac-2", state="failed"), [2]),  # all filters must hold
        (JobQuery(text="timer"), [1, 3]),  # without regard to case
        (JobQuery(text="many files"), [2, 6]),  # nor to white space
        (JobQuery(text="GRÖSSE"), [4]),
        (JobQuery(text="a b"), [5]),
        (JobQuery(text="files? which"), []),  # not across two prompts
        (JobQuery(text="timer", state="kept"), [1]),
        (JobQuery(text=IDS[4]), [5]),
        (JobQuery(sort="changed"), [4, 2, 3, 1, 5, 6]),
        (JobQuery(sort="changed", worker="mac-1"), [3, 1]),
    ],
)
def test_jobs_are_found_by_each_filter_and_in_each_order(query: JobQuery, numbers: list[int]) -> None:
    found = index(ROWS, VERDICTS)
    assert [job.number for job in found.jobs(found.places(query))] == numbers
    assert found.total(query) == len(numbers)


def test_counts_of_a_filter_are_among_the_jobs_that_pass_the_others() -> None:
    facets = index(ROWS, VERDICTS).facets(JobQuery(state="failed", worker="mac-2"))
    assert facets["state"] == {"failed": 1, "rejected": 1, "running": 1}
    assert facets["worker"] == {"mac-2": 1}
    assert facets["cause"] == {"timeout": 1}
    assert set(facets["state"]) <= set(STATES)


def test_a_job_that_ran_again_since_curation_has_no_verdict() -> None:
    found = index(ROWS)
    found.judge({IDS[0]: (), IDS[2]: ("duplicate",)}, stale_after=15.0)
    assert [job.profile.kept for job in found.jobs([0, 2])] == [True, None]
    found.apply([row(1, JobState.QUEUED, at=10, attempt=2)])
    assert found.jobs([0])[0].profile.kept is None
    assert found.jobs([0])[0].attempt == 2


def test_an_address_gives_the_query_that_made_it() -> None:
    query = JobQuery(state="failed", cause="timeout", text="a&b=c d", sort="changed")
    assert query.address(page=2) == "?state=failed&cause=timeout&text=a%26b%3Dc+d&sort=changed&page=2"
    assert JobQuery.of({"state": "failed", "cause": "timeout", "text": "a&b=c d", "sort": "changed"}) == query
    assert JobQuery.of({"sort": "by luck", "color": "red"}) == JobQuery()
    assert JobQuery().address() == ""


ROW = st.builds(
    row,
    st.integers(1, len(IDS)),
    st.sampled_from(JobState),
    kind=st.sampled_from([None, FailureKind.TIMEOUT, FailureKind.INTERNAL]),
    worker=st.sampled_from(WORKERS),
    at=st.floats(1, 9),
    truncated=st.booleans(),
    attempt=st.integers(1, 3),
)
VERDICT = st.dictionaries(st.sampled_from(IDS), st.sampled_from([(), ("duplicate",), ("null_result", "duplicate")]))
QUERIES = [
    JobQuery(),
    *(JobQuery(state=state) for state in STATES),
    JobQuery(reason="duplicate"),
    JobQuery(cause="timeout", sort="changed"),
    JobQuery(text="many", worker="mac-1"),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.lists(ROW, max_size=4), VERDICT), max_size=12))
def test_an_index_that_follows_changes_equals_one_that_is_read_at_once(changes: list[object]) -> None:
    """Each change is a list of rows or a new set of verdicts; queries in between must not leave anything behind."""
    following = index()
    rows: dict[str, JobRow] = {}
    verdicts: dict[str, Judged] = {}
    for change in changes:
        if isinstance(change, dict):
            verdicts = change
            following.judge(verdicts, stale_after=5.0)
        elif isinstance(change, list):
            following.apply(change)
            rows |= {found.job_id: found for found in change}
        following.places(random.choice(QUERIES))
    following.judge(verdicts, stale_after=5.0)
    fresh = JobIndex({job_id: PromptEntry.of(prompt) for job_id, prompt in PROMPTS.items()})
    fresh.apply(rows.values())
    fresh.judge(verdicts, stale_after=5.0)
    for query in QUERIES:
        assert following.facets(query) == fresh.facets(query)
        assert following.jobs(following.places(query)) == fresh.jobs(fresh.places(query))
        assert following.total(query) == len(following.places(query))
