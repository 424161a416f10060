"""Metrics of an evaluation: rates with counts and intervals, the cost of training, and the targets."""

import math
from typing import Self

from pydantic import Field, computed_field, model_validator

from config.records import Adapter, JsonObject, Record
from config.report.query_time import QueryTime

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

    count: int = 0
    of: int = 0

    @property
    def share(self) -> float | None:
        """Rate; None if the total is 0."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> Interval | None:
        """95% interval; None if the total is 0."""
        return wilson(self.count, self.of) if self.of else None


class Rate(Fraction):
    """A count, its total, and what follows from both: the rate and its 95% Wilson interval, null if the total is 0."""

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def rate(self) -> float | None:
        """The share, between 0 and 1."""
        return self.share

    @computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def interval95(self) -> Interval | None:
        """Bounds of the share."""
        return self.interval

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, given: object) -> object:
        """Derived values in a file are computed anew, not read."""
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if key not in {"rate", "interval95"}}


class Spread(Record):
    """Median and 90th percentile."""

    median: float
    p90: float
    """nearest rank: the smallest value that at least 90% of the values do not exceed"""


class ClusteredRate(Record):
    """A rate over several answers to each prompt. Its interval allows for their resemblance."""

    mean: float
    standard_error: float
    """clustered by prompt"""
    interval95: Interval
    prompts: int
    answers: int


class Sampled(Record):
    """Rates of one model over further answers to each prompt, sampled at the model's own temperature."""

    temperature: float
    top_p: float | None = None
    source: str
    """where temperature and top_p are from"""
    samples: int
    """answers to each prompt"""
    correct: ClusteredRate | None = None
    """None if no answer could be graded"""
    grounded_correct: ClusteredRate | None = None


class CategoryScore(Record):
    """Results of one model in one category of questions."""

    prompts: int
    tool_when_needed: Rate = Rate()
    correct: Rate = Rate()
    grounded_correct: Rate = Rate()


class Metrics(Record):
    """Results of one model. worker/evaluate/rates.py defines what each rate counts."""

    prompts: int
    prompts_with_tools: int = 0
    """prompts that need tools"""
    tool_calls_per_prompt: Spread | None = None
    """of prompts that need tools"""
    seconds_per_prompt: Spread | None = None
    final_answer: Rate = Rate()
    cut: Rate = Rate()
    loop: Rate = Rate()
    runaway: Rate = Rate()
    repetition: Rate = Rate()
    invented_turn: Rate = Rate()
    invented_result: Rate = Rate()
    call_in_text: Rate = Rate()
    unsupported_claim: Rate = Rate()
    tool_when_needed: Rate = Rate()
    no_tool_when_not_needed: Rate = Rate()
    real_result_when_needed: Rate = Rate()
    correct: Rate = Rate()
    grounded_correct: Rate = Rate()
    calls_well_formed: Rate = Rate()
    calls_with_real_result: Rate = Rate()
    findings: dict[str, int] = Field(default_factory=dict)
    """answers with each finding"""
    failures: dict[str, int] = Field(default_factory=dict)
    """rollouts that did not complete, by failure kind"""
    by_category: dict[str, CategoryScore] = Field(default_factory=dict)
    query_time: QueryTime | None = Field(None, exclude_if=lambda times: times is None)
    """where the seconds went; None if no answer recorded its times"""
    sampled: Sampled | None = Field(None, exclude_if=lambda sampled: sampled is None)
    """only if the evaluation was asked for samples; all other fields are of the answers at temperature 0"""


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
    final_answer: float = 1.0
    loop: float = 0.0
    invented_turn: float = 0.0
    peak_memory_gb: float = 10.0
    """less than"""
    seconds_per_prompt: Interval = (15, 25)
