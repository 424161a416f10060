"""A paired comparison of two models on the same prompts: exact McNemar tests, and the prompts that flipped."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from config.records import Record
from config.report.outcomes import OutcomePair


class Paired(Record):
    """How often both models, one of them, or neither succeeded on the same prompts, and the exact McNemar p-value."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0
    neither: int = 0
    p: float | None = None
    """two-sided; None without a prompt that was graded for both"""

    @property
    def prompts(self) -> int:
        """Prompts that were graded for both."""
        return self.both + self.only_first + self.only_second + self.neither

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


def compare(pairs: Sequence[OutcomePair]) -> Comparison:
    """Compare two models on the same prompts. A pair counts where both answers can be graded.

    Success is grounded_correct for a prompt that needs tools, correct for any other.
    """
    decided = [(pair, *_successes(pair)) for pair in pairs]
    return Comparison(
        correct=Paired.of(_both((first.correct, second.correct) for _, first, second in pairs)),
        grounded_correct=Paired.of(_both((first.grounded, second.grounded) for _, first, second in pairs)),
        flipped=tuple(
            Flip(
                job_id=pair.prompt.job_id,
                category=pair.prompt.category,
                prompt=pair.prompt.prompt,
                gained=second,
                first=pair.first.answer,
                second=pair.second.answer,
            )
            for pair, first, second in decided
            if first is not None and second is not None and first != second
        ),
    )


def _successes(pair: OutcomePair) -> tuple[bool | None, bool | None]:
    if pair.prompt.needs_tools:
        return pair.first.grounded, pair.second.grounded
    return pair.first.correct, pair.second.correct


def _both(outcomes: Iterable[tuple[bool | None, bool | None]]) -> Iterator[tuple[bool, bool]]:
    return ((first, second) for first, second in outcomes if first is not None and second is not None)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value: the binomial probability of a split at least as uneven, if both were equally likely.

    Q. McNemar, Psychometrika 12 (1947) 153-157. 1.0 without a pair that differs.
    """
    differing = only_first + only_second
    tail = sum(math.comb(differing, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**differing))
