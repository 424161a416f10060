"""A recorded call that returns something else when it is executed again."""

import json
from dataclasses import dataclass

from config.records import ToolCall

BEFORE, SHOWN = 40, 160  # characters of a result before the first difference, and in all
CALL_CHARS = 120  # shown of a call


@dataclass(frozen=True)
class Result:
    """What a call returned."""

    text: str
    is_error: bool


@dataclass(frozen=True)
class Difference:
    """A recorded call that returns something else when it is executed again."""

    job_id: str
    message: int
    """index of the message with the result"""
    call: ToolCall
    recorded: str
    """the recorded result around the first difference, quoted"""
    replayed: str
    """the same of the replayed result"""
    note: str
    """the code, and both versions of applejack if they differ"""

    @property
    def detail(self) -> str:
        """One line with the call and both texts."""
        return f"{self.shown_call} is recorded as {self.recorded}, and returns {self.replayed} {self.note}"

    @property
    def shown_call(self) -> str:
        """The name and the arguments, shortened."""
        text = f"{self.call.name} {json.dumps(self.call.arguments, ensure_ascii=False)}"
        return text if len(text) <= CALL_CHARS else f"{text[:CALL_CHARS]}…"


def excerpts(recorded: Result, replayed: Result) -> tuple[str, str]:
    """Both results around the first difference, quoted."""
    pairs = zip(recorded.text, replayed.text, strict=False)
    shorter = min(len(recorded.text), len(replayed.text))
    first = next((place for place, (one, other) in enumerate(pairs) if one != other), shorter)
    start = max(0, first - BEFORE)
    return _excerpt(recorded, start), _excerpt(replayed, start)


def _excerpt(result: Result, start: int) -> str:
    end = start + SHOWN
    text = f"{'…' if start else ''}{result.text[start:end]}{'…' if len(result.text) > end else ''}"
    return f"the error {text!r}" if result.is_error else repr(text)
