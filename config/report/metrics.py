"""What an evaluation measures: rates with their counts and intervals, what training took, and the targets."""

import math
from typing import Self

from pydantic import Field

from config.records import Adapter, JsonObject, Record

Z95 = 1.959963984540054  # the two-sided 95% quantile of the normal distribution
Interval = tuple[float, float]


def wilson(count: int, of: int) -> Interval:
    """The 95% score interval of a share of `count` in `of` > 0.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212. Unlike
    the textbook interval it says something at 0 of n and n of n, which is where loop rates are.
    """
    share, z2 = count / of, Z95 * Z95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half) if count else 0.0, min(1.0, middle + half) if count < of else 1.0


class Fraction(Record):
    """How often, of how many."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """None when there was nothing to count in."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> Interval | None:
        """95%, None when there was nothing to count in."""
        return wilson(self.count, self.of) if self.of else None


class Spread(Record):
    """The middle and the slow end."""

    median: float
    p90: float
    """nearest rank: the smallest value that at least 90% do not exceed"""


class Metrics(Record):
    """How one model did. A rate is null when nothing could be counted; `of` holds each rate's counts.

    What each rate counts is defined in worker/evaluate/score.py, beside the code that does.
    """

    prompts: int
    tool_calls_per_prompt: Spread | None = None
    seconds_per_prompt: Spread | None = None
    loop_rate: float | None = None
    loop_rate_interval: Interval | None = None
    final_answer_rate: float | None = None
    invented_turn_rate: float | None = None
    invented_result_rate: float | None = None
    call_in_text_rate: float | None = None
    tool_when_needed_rate: float | None = None
    no_tool_when_not_needed_rate: float | None = None
    real_result_when_needed_rate: float | None = None
    correct_rate: float | None = None
    grounded_correct_rate: float | None = None
    calls_well_formed_rate: float | None = None
    calls_with_real_result_rate: float | None = None
    of: dict[str, Fraction] = Field(default_factory=dict)
    failures: dict[str, int] = Field(default_factory=dict)
    """rollouts that did not complete, by failure kind"""


class Training(Record):
    """What making the adapter took."""

    losses: tuple[JsonObject, ...] = ()
    """{iteration, train_loss and/or valid_loss}"""
    iterations: int
    peak_memory_gb: float
    tokens_per_second: float
    seconds: float

    @classmethod
    def of(cls, adapter: Adapter) -> Self:
        """What training this adapter took."""
        kept = {"iteration", "train_loss", "valid_loss"}
        losses = (line.model_dump(mode="json", include=kept, exclude_none=True) for line in adapter.losses)
        return cls(
            losses=tuple(line for line in losses if len(line) > 1),
            iterations=adapter.iterations,
            peak_memory_gb=adapter.peak_memory_gb,
            tokens_per_second=adapter.tokens_per_second,
            seconds=adapter.seconds,
        )


class Targets(Record):
    """What the student should reach; the seed project's own figures."""

    tool_calls_per_prompt: Interval = (1, 3)
    final_answer_rate: float = 1.0
    loop_rate: float = 0.0
    invented_turn_rate: float = 0.0
    peak_memory_gb: float = 10.0
    """less than"""
    seconds_per_prompt: Interval = (15, 25)
