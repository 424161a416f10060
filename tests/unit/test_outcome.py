"""What became of a delivery, as the task's result and as the event that Flower receives."""

import pytest
from celery.utils.saferepr import saferepr

from worker.fleet.outcome import SHOWN, Fate, Outcome, fate_of
from worker.fleet.request import outcome_event


@pytest.mark.parametrize("fate", list(Fate))
def test_the_text_of_an_outcome_tells_its_fate(fate: Fate) -> None:
    assert fate_of(str(Outcome(fate))) is fate
    assert fate_of(str(Outcome(fate, "a: b"))) is fate


def test_a_long_detail_is_one_line_that_fits_into_an_event() -> None:
    text = str(Outcome(Fate.FAILED, "first line\n  second " + "x" * 2000))
    assert text.startswith("failed: first line second x")
    assert len(text) == SHOWN + len("failed: ")
    assert text.endswith("...")


@pytest.mark.parametrize(
    ("result", "type", "exception"),
    [
        ("done", "task-succeeded", None),
        # the id that a worker of an earlier version returns
        ("00001-3f2a", "task-succeeded", None),
        ("failed: timeout", "task-failed", "failed: timeout"),
        # quotes of both kinds and a line break, which Celery's repr escapes
        ('failed: none of 3 was "kept", it\'s\\n', "task-failed", 'failed: none of 3 was "kept", it\'s\\n'),
        ("retry: endpoint_error: 500", "task-retried", "retry: endpoint_error: 500"),
        ("dropped: already finished", "task-revoked", "dropped: already finished"),
        # a word that only begins like one of them
        ("failedness", "task-succeeded", None),
    ],
)
def test_the_event_of_a_successful_return_is_that_of_its_outcome(result: str, type: str, exception: str | None) -> None:
    given: dict[str, object] = {"result": saferepr(result), "runtime": 1.5}
    sent, fields = outcome_event(given, redelivered=False)
    assert (sent, fields.get("exception")) == (type, exception)
    assert (fields["result"], fields["runtime"]) == (result, 1.5)


def test_a_redelivery_that_is_dropped_keeps_the_result_that_flower_has() -> None:
    fields = outcome_event({"result": "'dropped: already finished'"}, redelivered=True)[1]
    assert "result" not in fields
    assert fields["exception"] == "dropped: already finished"


def test_a_result_that_celery_has_cut_still_tells_its_fate() -> None:
    assert outcome_event({"result": "'failed: it was too lo..."}, redelivered=False)[0] == "task-failed"
