"""The events of a job's history in words."""

import re
from importlib.resources import files

import pytest

from config.ledger.encoding import Event
from producer.job_story import WORDS, event_words


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Event(0, "started", "mac-1", "", 1), "mac-1 started it"),
        (Event(0, "failed", "mac-1", "timeout", 1), "it failed on mac-1: timeout"),
        (Event(0, "handed_back", "mac-2", "its endpoint is down", 1), "mac-2 handed it back: its endpoint is down"),
        (Event(0, "lost", "", "its lease expired", 1), "a worker lost it: its lease expired"),
        (Event(0, "resubmitted", "", "", 2), "it was resubmitted"),
        (Event(0, "of_a_later_version", "{worker}", "{0}", 1), "of a later version: {0}"),
    ],
)
def test_an_event_is_a_sentence(event: Event, words: str) -> None:
    assert event_words(event) == words


def test_every_event_that_the_scripts_write_about_jobs_has_words() -> None:
    scripts = ("begin", "release", "reap", "cancel", "resubmit")
    text = "".join((files("config.ledger") / "lua" / f"{name}.lua").read_text() for name in scripts)
    assert set(re.findall(r"note\([^,]+, '(\w+)'", text)) <= set(WORDS)
    assert {"generated", "failed"} <= set(WORDS)  # finish.lua writes the state
