"""Latency model of a model server, fitted to completed requests: predicts pace and throughput at any concurrency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

PROMPT_TOKENS = 20  # approximate cost of reading a prompt, so that short answers do not look slow
MIN_SPREAD = 0.05  # relative spread of the concurrency below which no slope can be fitted
SAMPLES_PER_LEVEL = 10  # samples kept per concurrency level, so that a long stay at one does not evict the others
MAX_AGE = 300.0  # seconds until a sample is dropped


@dataclass(frozen=True)
class RequestSample:
    """One model request; it ended at `at` on the caller's clock and took `seconds`."""

    at: float
    seconds: float
    in_flight: float
    """mean number of this worker's requests in flight while it ran, including itself"""
    output_tokens: int
    failure: str | None = None
    """"timeout" or "error" of the endpoint; a malformed call or an exhausted limit is not a failure here"""
    first_token: float | None = None
    """seconds to the first token, or until the endpoint reported the prompt as read; None if neither happened"""
    job_share: float = 0.0
    """share of the job's wall-time limit that was used when the request ended"""

    @property
    def work(self) -> int:
        """Output tokens plus the cost of the prompt."""
        return self.output_tokens + PROMPT_TOKENS

    @property
    def pace(self) -> float:
        """Seconds per token."""
        return self.seconds / self.work


@dataclass(frozen=True)
class LatencyModel:
    """Seconds per token with n requests in flight: base + per_request * n."""

    base: float
    per_request: float
    std_error: float = 0.0
    """standard error of `per_request`"""
    center: float = 1.0
    """mean n of the samples; the line turns around this point"""

    def pace(self, n: float) -> float:
        """Seconds per token of each request."""
        return self.base + self.per_request * n

    def rate(self, n: float) -> float:
        """Tokens per second of all n requests together, by Little's law."""
        return n / self.pace(n)

    def with_slope_shifted(self, errors: float) -> "LatencyModel":
        """The line with `per_request` changed by this many standard errors, within physical bounds.

        The bounds: more requests in flight make neither a single request faster nor the total throughput lower. Servers
        that break the second bound are detected by `latency_ratio`.
        """
        pace = self.pace(self.center)
        per_request = min(max(self.per_request + errors * self.std_error, 0.0), pace / self.center)
        return LatencyModel(pace - per_request * self.center, per_request, self.std_error, self.center)


def mean(samples: Sequence[RequestSample]) -> tuple[float, float]:
    """Mean number of requests in flight, and mean seconds per token."""
    seconds = sum(sample.seconds for sample in samples)
    in_flight = sum(sample.in_flight * sample.seconds for sample in samples) / seconds
    return in_flight, seconds / sum(sample.work for sample in samples)


def fit(samples: Sequence[RequestSample]) -> LatencyModel | None:
    """Least-squares line through the samples, weighted by their work; None if they do not determine it."""
    if len(samples) < 6:
        return None
    work = sum(sample.work for sample in samples)
    n = sum(sample.work * sample.in_flight for sample in samples) / work
    pace = sum(sample.seconds for sample in samples) / work
    spread = sum(sample.work * (sample.in_flight - n) ** 2 for sample in samples)
    if spread < work * (MIN_SPREAD * n) ** 2:
        return None
    per_request = sum(sample.work * (sample.in_flight - n) * (sample.pace - pace) for sample in samples) / spread
    residuals = sum(
        sample.work * (sample.pace - pace - per_request * (sample.in_flight - n)) ** 2 for sample in samples
    )
    std_error = math.sqrt(residuals / (len(samples) - 2) / spread)
    return LatencyModel(pace - per_request * n, per_request, std_error, n).with_slope_shifted(0)


def latency_ratio(recent: Sequence[RequestSample], older: Sequence[RequestSample]) -> tuple[float, float]:
    """Ratio of observed to predicted latency of the recent requests: (lower bound, upper bound).

    The bounds are the quartiles; the lower one is at most the overall ratio. The older requests give the prediction. If
    they do not determine a slope, the prediction is that of a server that does not batch, and the upper bound is 1.
    """
    n, pace = mean(older)
    model = fit(older)
    predicted = [model.pace(sample.in_flight) if model else pace * max(1.0, sample.in_flight / n) for sample in recent]
    ratios = sorted(sample.pace / expected for sample, expected in zip(recent, predicted, strict=True))
    overall = sum(sample.seconds for sample in recent) / sum(
        sample.work * expected for sample, expected in zip(recent, predicted, strict=True)
    )
    quarter = len(ratios) // 4
    return min(overall, ratios[quarter]), ratios[-1 - quarter] if model else 1.0


class SampleWindow:
    """The samples that still count, oldest first."""

    def __init__(self) -> None:
        self.all: list[RequestSample] = []

    def __bool__(self) -> bool:
        return bool(self.all)

    def add(self, sample: RequestSample) -> None:
        """Add a sample; drops the oldest of its concurrency level if there are too many."""
        same_level = [other for other in self.all if round(other.in_flight) == round(sample.in_flight)]
        if len(same_level) >= SAMPLES_PER_LEVEL:
            self.all.remove(same_level[0])
        self.all.append(sample)

    def expire(self, now: float) -> None:
        """Drop samples older than MAX_AGE."""
        self.all = [sample for sample in self.all if now - sample.at < MAX_AGE]

    def drop(self, samples: Sequence[RequestSample]) -> None:
        """Drop these samples: the server has changed since, or was in trouble."""
        self.all = self.without(samples)

    def without(self, samples: Sequence[RequestSample]) -> list[RequestSample]:
        """All samples except these."""
        excluded = {id(sample) for sample in samples}
        return [sample for sample in self.all if id(sample) not in excluded]

    def since(self, when: float) -> list[RequestSample]:
        """Samples that ran for the most part after `when`."""
        return [sample for sample in self.all if sample.at - sample.seconds / 2 > when]

    def slowest(self) -> float:
        """Seconds of the longest request; the window must not be empty."""
        return max(sample.seconds for sample in self.all)
