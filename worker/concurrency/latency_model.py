"""What answered requests tell about a model server: its pace, and what more requests in flight would bring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

PROMPT = 20  # tokens; about what reading a prompt costs, so that short answers do not look slow
ALIKE = 0.05  # readings whose numbers in flight differ less than this share tell no slope
KEPT = 10  # readings for each number in flight, so that a long stay at one does not push the others out
AGE = 300.0  # seconds a reading counts


@dataclass(frozen=True)
class RequestSample:
    """One model request, ended at `at` on the caller's clock after `seconds`."""

    at: float
    seconds: float
    in_flight: float
    """requests of this worker in flight, the mean over the time it ran, itself included"""
    output_tokens: int
    failure: str | None = None
    """what the endpoint did, "timeout" or "error"; a malformed call or a used-up limit is no failure here"""
    first_token: float | None = None
    """seconds until the first token, or until the endpoint said that it had read the prompt; None when none came"""

    job_share: float = 0.0
    """of its job's wall time, used when it ended"""

    @property
    def work(self) -> int:
        """Tokens, with the prompt's share."""
        return self.output_tokens + PROMPT

    @property
    def pace(self) -> float:
        """Seconds per token."""
        return self.seconds / self.work


@dataclass(frozen=True)
class LatencyModel:
    """Seconds per token with n requests in flight: alone + each * n."""

    base: float
    per_request: float
    std_error: float = 0.0
    """standard error of `each`"""
    center: float = 1.0
    """n where the readings lie; the line turns around there"""

    def pace(self, n: float) -> float:
        """Seconds per token of each request."""
        return self.base + self.per_request * n

    def rate(self, n: float) -> float:
        """Tokens per second of all n together, by Little's law."""
        return n / self.pace(n)

    def with_slope_shifted(self, errors: float) -> "LatencyModel":
        """The line with `each` larger by so many standard errors, within what is possible.

        More in flight makes no request sooner, and not less in all: a server that does worse is found by its
        slowness, not by the line.
        """
        pace = self.pace(self.center)
        per_request = min(max(self.per_request + errors * self.std_error, 0.0), pace / self.center)
        return LatencyModel(pace - per_request * self.center, per_request, self.std_error, self.center)


def mean(seen: Sequence[RequestSample]) -> tuple[float, float]:
    """Requests in flight, and seconds per token."""
    seconds = sum(one.seconds for one in seen)
    return sum(one.in_flight * one.seconds for one in seen) / seconds, seconds / sum(one.work for one in seen)


def fit(seen: Sequence[RequestSample]) -> LatencyModel | None:
    """The line through the readings, least squares weighted with their work; None when it would be a guess."""
    if len(seen) < 6:
        return None
    work = sum(one.work for one in seen)
    n = sum(one.work * one.in_flight for one in seen) / work
    pace = sum(one.seconds for one in seen) / work
    spread = sum(one.work * (one.in_flight - n) ** 2 for one in seen)
    if spread < work * (ALIKE * n) ** 2:
        return None
    per_request = sum(one.work * (one.in_flight - n) * (one.pace - pace) for one in seen) / spread
    left = sum(one.work * (one.pace - pace - per_request * (one.in_flight - n)) ** 2 for one in seen)
    return LatencyModel(
        pace - per_request * n, per_request, math.sqrt(left / (len(seen) - 2) / spread), n
    ).with_slope_shifted(0)


def latency_ratio(recent: Sequence[RequestSample], older: Sequence[RequestSample]) -> tuple[float, float]:
    """How many times as long as the older ones foretell three of four recent requests take at least, and at most.

    Where the older ones tell no slope, a request is granted the time of a server that batches nothing.
    """
    n, pace = mean(older)
    line = fit(older)
    expected = [line.pace(one.in_flight) if line else pace * max(1.0, one.in_flight / n) for one in recent]
    ratios = sorted(one.pace / foretold for one, foretold in zip(recent, expected, strict=True))
    in_all = sum(one.seconds for one in recent) / sum(
        one.work * foretold for one, foretold in zip(recent, expected, strict=True)
    )
    quarter = len(ratios) // 4
    return min(in_all, ratios[quarter]), ratios[-1 - quarter] if line else 1.0


class SampleWindow:
    """The answered requests that still count, oldest first."""

    def __init__(self) -> None:
        self.all: list[RequestSample] = []

    def __bool__(self) -> bool:
        return bool(self.all)

    def add(self, one: RequestSample) -> None:
        """Keep it; of too many with the same number in flight the oldest goes."""
        same = [other for other in self.all if round(other.in_flight) == round(one.in_flight)]
        if len(same) >= KEPT:
            self.all.remove(same[0])
        self.all.append(one)

    def age(self, now: float) -> None:
        """Let go of what is too old."""
        self.all = [one for one in self.all if now - one.at < AGE]

    def drop(self, these: Sequence[RequestSample]) -> None:
        """Forget them: they tell of another server, or of one in trouble."""
        self.all = self.without(these)

    def without(self, these: Sequence[RequestSample]) -> list[RequestSample]:
        """The others."""
        gone = {id(one) for one in these}
        return [one for one in self.all if id(one) not in gone]

    def since(self, when: float) -> list[RequestSample]:
        """Those that ran for the most part after it."""
        return [one for one in self.all if one.at - one.seconds / 2 > when]

    def slowest(self) -> float:
        """Seconds of the longest request; there must be one."""
        return max(one.seconds for one in self.all)
