"""A paired comparison of two models on the same prompts: exact McNemar tests, and the prompts that flipped."""

import math
from collections.abc import Iterable
from typing import Self

from config.records import Record


class Paired(Record):
    """How often both models, one of them, or neither succeeded on the same prompts, and the exact McNemar p-value."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0
    neither: int = 0
    p: float | None = None
    """two-sided; None without a prompt that both answered"""

    @classmethod
    def of(cls, outcomes: Iterable[tuple[bool, bool]]) -> Self:
        """Count (first succeeded, second succeeded) pairs."""
        pairs = list(outcomes)
        first, second = pairs.count((True, False)), pairs.count((False, True))
        return cls(
            both=pairs.count((True, True)),
            only_first=first,
            only_second=second,
            neither=pairs.count((False, False)),
            p=mcnemar(first, second) if pairs else None,
        )


class Flip(Record):
    """A prompt that only one of the two models answered rightly."""

    job_id: str
    category: str
    prompt: str
    gained: bool
    """whether the second model is the one that is right"""
    first: str
    """the first model's answer, or why it has none"""
    second: str


class Comparison(Record):
    """`first` is the base and `second` the adapter, or two adapters."""

    correct: Paired = Paired()
    grounded_correct: Paired = Paired()
    flipped: tuple[Flip, ...] = ()
    """by grounded_correct for prompts that need tools, by correct for the others"""


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value: the binomial probability of a split at least as uneven, if both were equally likely.

    Q. McNemar, Psychometrika 12 (1947) 153-157. 1.0 without a pair that differs.
    """
    differing = only_first + only_second
    tail = sum(math.comb(differing, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**differing))
