"""The index of a run follows a real ledger: what workers, resubmissions, cancellations and curation change."""

import time

import pytest

from config.errors import FailureKind, UsageError
from config.ledger import Ledger
from config.records import Prompt, Spec
from producer.flower.jobs import reading
from producer.flower.jobs import words as list_words
from producer.flower.jobs.index import JobIndex
from producer.flower.jobs.list_page import look
from producer.flower.jobs.query import FACETS, JobQuery
from producer.flower.jobs.reading import KEEP_SECONDS, JobIndexes, Progress, RunIndex
from producer.flower.templates import Templates
from producer.resubmit import plan_of
from tests.support.shown_jobs import PROMPTS, RUN, end_curation, fail, finish, shown_jobs


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look reads; on a page the looks are further apart anyway."""
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(reading, "WAIT_SECONDS", 10.0)


def words(run: RunIndex) -> list[str]:
    """The state of each job in a word."""
    run.look()
    assert run.index is not None
    return [job.profile.word for job in run.index.jobs(range(len(run.index)))]


def same_as_new(ledger: Ledger, followed: RunIndex) -> bool:
    """Whether an index that followed the run equals one that is read now."""
    new = RunIndex(ledger, followed.run_id)
    new.look()
    assert followed.index is not None
    assert new.index is not None
    everything = range(len(new.index))
    return followed.index.jobs(everything) == new.index.jobs(everything) and all(
        followed.index.facets(query) == new.index.facets(query) for query in (JobQuery(), JobQuery(text="timer"))
    )


def test_the_index_follows_workers_resubmission_curation_and_cancellation(ledger: Ledger) -> None:
    ids = shown_jobs(ledger)
    run = RunIndex(ledger, RUN)
    assert words(run) == ["kept", "rejected", "rejected", "failed", "running", "queued"]
    finish(ledger, RUN, ids[4], 4, "mac-1")
    fail(ledger, RUN, ids[5], PROMPTS[5], "mac-2", kind=FailureKind.WORKER_LOST)
    assert words(run)[4:] == ["generated", "failed"]
    assert same_as_new(ledger, run)
    end_curation(ledger, RUN, ids)
    assert words(run) == ["kept", "kept", "kept", "failed", "kept", "failed"]
    ledger.jobs.resubmit(RUN, [ids[1], ids[3]], train=False, evaluate=False)
    assert words(run) == ["kept", "queued", "kept", "queued", "kept", "failed"]
    finish(ledger, RUN, ids[1], 1, "mac-1", attempt=2)
    # The verdict in the ledger is about the attempt before.
    assert words(run) == ["kept", "generated", "kept", "queued", "kept", "failed"]
    assert same_as_new(ledger, run)
    ledger.controls.cancel(RUN)
    assert words(run)[3] == "cancelled"
    assert same_as_new(ledger, run)


def test_a_run_that_is_made_again_under_its_id_is_read_anew(ledger: Ledger) -> None:
    shown_jobs(ledger)
    run = RunIndex(ledger, RUN)
    assert len(words(run)) == 6
    ledger.remove(RUN)
    with pytest.raises(UsageError):
        run.look()
    ledger.create(Spec(run_id=RUN, train=False), [Prompt(prompt="another")])
    assert words(run) == ["queued"]


def test_two_changes_in_one_millisecond_are_both_seen(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second enters the ledger after the reading, with the time of the first: a reading overlaps the one before."""
    ids = shown_jobs(ledger)
    run = RunIndex(ledger, RUN)
    run.look()
    read = ledger.fleet.now()
    monkeypatch.setattr(ledger.fleet, "now", lambda: read + 0.5)  # the reading is later than the change below
    run.look()
    finish(ledger, RUN, ids[4], 4, "mac-1")
    assert words(run)[4] == "generated"


def test_indexes_that_nobody_looks_at_are_dropped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST", 2)
    indexes = JobIndexes(ledger)
    for name in ("a", "b", "c"):
        ledger.create(Spec(run_id=name, train=False), [Prompt(prompt="question")])
        indexes.of(name)
    assert [name in indexes for name in ("a", "b", "c")] == [False, True, True]
    assert indexes.of("b") is indexes.of("b")
    indexes.drop_unused(now=time.monotonic() + KEEP_SECONDS - 1)
    assert "b" in indexes
    indexes.drop_unused(now=time.monotonic() + KEEP_SECONDS + 1)
    assert "b" not in indexes
    with pytest.raises(UsageError, match="there is no run"):
        indexes.of("nothing")
    assert "nothing" not in indexes


def test_a_page_does_not_wait_for_a_long_reading(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAIT_SECONDS", 0.05)
    shown_jobs(ledger)
    run = RunIndex(ledger, RUN)
    apply = JobIndex.apply

    def slow(index: JobIndex, rows: object) -> None:
        time.sleep(0.5)
        apply(index, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(JobIndex, "apply", slow)
    started = time.monotonic()
    run.look()
    assert time.monotonic() - started < 0.4
    assert run.index is None
    assert run.first[:1] == [ledger.jobs.ids(RUN)[0]]  # what the page shows meanwhile
    run.wait(10)
    assert words(run)[0] == "kept"


def test_the_list_says_how_far_the_reading_is_and_shows_the_first_jobs(ledger: Ledger) -> None:
    ids = shown_jobs(ledger)
    run = RunIndex(ledger, RUN)  # not read yet
    run.first, run.progress = list(ids), Progress("states", 2000, 100_000)
    view = look(ledger, run, JobQuery(state="failed"), page=3)
    assert view.reading == "Reading the states of the jobs: 2,000 of 100,000."
    assert [line.job.profile.word for line in view.lines] == [
        "generated", "generated", "generated", "failed", "running", "queued",
    ]  # fmt: skip
    html = Templates().load("fragments/jobs.html").generate(
        view=view, query=JobQuery(state="failed"), run_id=RUN, words=list_words, facet_names=FACETS,
        reverse_url=lambda name, *args: f"/{name}/{'/'.join(args)}",
    )  # fmt: skip
    assert b"2,000 of 100,000. Filters, counts and verdicts follow. The first 6 jobs meanwhile:" in html
    assert html.count(b"<tr ") == 7


def test_the_plan_of_named_jobs_takes_exactly_these(ledger: Ledger) -> None:
    ids = shown_jobs(ledger)
    planned = plan_of(ledger, RUN, [ids[0], ids[3]])
    assert [(job.job_id, job.kind) for job in planned.jobs] == [(ids[0], None), (ids[3], FailureKind.TIMEOUT)]
    ledger.controls.cancel(RUN)
    with pytest.raises(UsageError, match="is cancelled; let it go on first"):
        plan_of(ledger, RUN, [ids[0]])
