"""Histories of jobs, as the ledger's scripts write them."""

import json

import pytest

from config.ledger.encoding import events


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_text_with_a_line_separator_is_one_event(separator: str) -> None:
    """Fails with splitlines in config/ledger/encoding.py: a failure with such a text makes the run unreadable."""
    detail = f"no{separator}such file"
    entry = {"at": 1000, "event": "failed", "worker": "w1", "detail": detail, "attempt": 1}
    history = f"{json.dumps(entry, ensure_ascii=False)}\n" * 2
    assert [event.detail for event in events(history.encode())] == [detail, detail]
