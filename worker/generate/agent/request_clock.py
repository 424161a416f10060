"""Measures one streamed model request: when the prompt had been read, when the answer was complete, and its tokens.

mlx_lm sends a tool call in one piece when it is complete, so its first chunk can come at the end of the decoding. Its
comment ": keepalive N/N" marks the end of the prefill instead. Without such a mark, only a first chunk that is not the
whole answer and not a whole call shows when decoding began; otherwise `first_token` is unknown, never guessed.
"""

import time
from dataclasses import dataclass, field

from pydantic import JsonValue

from config.records import JsonObject, RequestTiming

DIGITS = 4  # of recorded seconds


@dataclass
class RequestClock:
    """Starts when it is made."""

    began: float = field(default_factory=time.monotonic)
    prompt_read: float | None = None
    """seconds until the endpoint reported that it had read the prompt"""
    first_output: float | None = None
    """seconds until the first chunk with output"""
    starts_with_whole_call: bool = False
    outputs: int = 0
    """chunks with output"""
    ended: float | None = None
    """seconds until the answer was complete; None if it was not"""
    answer: JsonObject = field(default_factory=dict)
    """the completion; {} without one"""

    @property
    def first_sign(self) -> float | None:
        """Seconds until the first output, or until the prompt was read if that was reported before."""
        return self.first_output if self.prompt_read is None else self.prompt_read

    def read(self) -> None:
        """The endpoint has read the prompt."""
        if self.prompt_read is None and self.first_output is None:
            self.prompt_read = self._elapsed()

    def output(self, *, whole_call: bool) -> None:
        """A chunk with output has come. `whole_call`: it begins with a call that has its arguments."""
        if self.first_output is None:
            self.first_output, self.starts_with_whole_call = self._elapsed(), whole_call
        self.outputs += 1

    def complete(self, answer: JsonObject) -> None:
        """The answer is complete."""
        self.ended, self.answer = self._elapsed(), answer

    def timing(self) -> RequestTiming:
        """The record of the request, after its end."""
        usage, choice = _object(self.answer.get("usage")), _first(self.answer.get("choices"))
        reason = choice.get("finish_reason")
        output_tokens = _count(usage.get("completion_tokens"))
        first = self._first_token(output_tokens)
        return RequestTiming(
            seconds=round(self._elapsed() if self.ended is None else self.ended, DIGITS),
            first_token=None if first is None else round(first, DIGITS),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            cached_tokens=_count(_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
            output_tokens=output_tokens,
            finish_reason=reason if isinstance(reason, str) else None,
        )

    def _first_token(self, output_tokens: int | None) -> float | None:
        """None where the first chunk may have come long after the first token."""
        if self.prompt_read is not None:
            return self.prompt_read
        in_one_piece = self.ended is not None and self.outputs == 1 and output_tokens != 1
        return None if in_one_piece or self.starts_with_whole_call else self.first_output

    def _elapsed(self) -> float:
        return time.monotonic() - self.began


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _first(value: JsonValue) -> JsonObject:
    return _object(value[0]) if isinstance(value, list) and value else {}


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
