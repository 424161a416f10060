"""Where a query's seconds go: one stacked bar for each model, and a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.report.query_time import Measured, QueryTime, Share

PARTS = ("prefill", "decode", "tools", "waiting")
NOTHING = "-"


@dataclass(frozen=True)
class Piece:
    """One part of a stacked bar."""

    part: str
    seconds: float
    """median"""
    width: float
    """percentage of the longest bar"""


@dataclass(frozen=True)
class Stack:
    """The median seconds of one model's queries."""

    kind: str
    """before or after"""
    pieces: tuple[Piece, ...]
    total: float
    """sum of the medians"""


@dataclass(frozen=True)
class TimeLine:
    """One measure for each model."""

    measure: str
    values: tuple[str, ...]


def stacks(timed: Sequence[tuple[str, QueryTime]]) -> list[Stack]:
    """The stacked bars; parts without a known time are left out."""
    known = [(kind, _seconds(times)) for kind, times in timed]
    longest = max((sum(parts.values()) for _, parts in known), default=0.0)
    return [_stack(kind, parts, longest) for kind, parts in known if parts and longest > 0]


def time_lines(times: Sequence[QueryTime]) -> list[TimeLine]:
    """The table: seconds and tokens as median (p90), turns as shares."""
    return [
        _line("prefill, s", times, lambda one: _measured(one.prefill, ".2f")),
        _line("decode, s", times, lambda one: _measured(one.decode, ".2f")),
        _line("tools, s", times, lambda one: _measured(one.tools, ".2f")),
        _line("waiting, s", times, lambda one: _measured(one.waiting, ".2f")),
        _line("prompt tokens", times, lambda one: _measured(one.prompt_tokens, ",.0f")),
        _line("prompt tokens from the cache", times, lambda one: _measured(one.cached_tokens, ",.0f")),
        _line("share of prompt tokens from the cache", times, lambda one: _share(one.cached)),
        _line("generated tokens", times, lambda one: _measured(one.output_tokens, ",.0f")),
        _line("turns ended by a stop token", times, lambda one: _share(one.stopped)),
        _line("turns ended by a tool call", times, lambda one: _share(one.called)),
        _line("turns ended by the token limit", times, lambda one: _share(one.cut)),
    ]


def _seconds(times: QueryTime) -> dict[str, float]:
    measured: dict[str, Measured | None] = {part: getattr(times, part) for part in PARTS}
    return {part: seconds.median for part, seconds in measured.items() if seconds}


def _stack(kind: str, parts: dict[str, float], longest: float) -> Stack:
    pieces = tuple(Piece(part, seconds, 100 * seconds / longest) for part, seconds in parts.items())
    return Stack(kind, pieces, sum(parts.values()))


def _line(measure: str, times: Sequence[QueryTime], cell: Callable[[QueryTime], str]) -> TimeLine:
    return TimeLine(measure, tuple(map(cell, times)))


def _measured(measured: Measured | None, digits: str) -> str:
    return f"{measured.median:{digits}} ({measured.p90:{digits}})" if measured else NOTHING


def _share(share: Share | None) -> str:
    return f"{100 * share.count / share.of:.0f}% ({share.count:,} of {share.of:,})" if share and share.of else NOTHING
