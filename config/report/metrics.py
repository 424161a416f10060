"""Metrics of an evaluation: rates with counts and intervals, the cost of training, and the targets."""

import math
from typing import Self

from pydantic import Field

from config.records import Adapter, JsonObject, Record

Z95 = 1.959963984540054  # the two-sided 95% quantile of the normal distribution
Interval = tuple[float, float]


def wilson(count: float, of: float) -> Interval:
    """Wilson score interval (95%) of the rate `count` / `of`, with `of` > 0. An effective sample size has fractions.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212. Unlike
    the normal approximation it is useful at 0 of n and n of n, where loop rates are.
    """
    share, z2 = count / of, Z95 * Z95
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half) if count else 0.0, min(1.0, middle + half) if count < of else 1.0


class Fraction(Record):
    """A count and its total."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """Rate; None if the total is 0."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> Interval | None:
        """95% interval; None if the total is 0."""
        return wilson(self.count, self.of) if self.of else None


class Spread(Record):
    """Median and 90th percentile."""

    median: float
    p90: float
    """nearest rank: the smallest value that at least 90% of the values do not exceed"""


class Metrics(Record):
    """Results of one model. A rate is null if its total is 0; `of` has the counts of each rate.

    worker/evaluate/score.py defines what each rate counts.
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
    unsupported_claim_rate: float | None = None
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
    """Losses, duration and memory of a training."""

    losses: tuple[JsonObject, ...] = ()
    """each {iteration, train_loss and/or valid_loss}"""
    rows: int | None = None
    epochs: float | None = None
    """passes over the rows"""
    iterations: int
    peak_memory_gb: float
    tokens_per_second: float
    seconds: float
    backend: str | None = Field(None, exclude_if=lambda backend: backend is None)
    """what mlx computed on: metal, cuda or cpu; None for trainings of earlier versions"""

    @classmethod
    def of(cls, adapter: Adapter) -> Self:
        """Extract the training metrics of an adapter."""
        fields = {"iteration", "train_loss", "valid_loss"}
        losses = (loss.model_dump(mode="json", include=fields, exclude_none=True) for loss in adapter.losses)
        return cls(
            losses=tuple(loss for loss in losses if len(loss) > 1),
            rows=adapter.rows,
            epochs=adapter.epochs,
            iterations=adapter.iterations,
            peak_memory_gb=adapter.peak_memory_gb,
            tokens_per_second=adapter.tokens_per_second,
            seconds=adapter.seconds,
            backend=adapter.backend,
        )


class Targets(Record):
    """Target values for the student, from the seed project."""

    tool_calls_per_prompt: Interval = (1, 3)
    final_answer_rate: float = 1.0
    loop_rate: float = 0.0
    invented_turn_rate: float = 0.0
    peak_memory_gb: float = 10.0
    """less than"""
    seconds_per_prompt: Interval = (15, 25)
