"""Concurrency limiter: measures this worker's model requests and applies the controller's limit to Celery.

The limit is Celery's prefetch count. A worker receives only as many messages as it may run, so that Macs of different
speed share one queue fairly. Each change is logged, and the heartbeat contains the limit and its reason.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol

import psutil

from config import logs
from config.records import JsonObject
from worker.concurrency.controller import ConcurrencyController
from worker.concurrency.latency_model import RequestSample
from worker.concurrency.observer import RequestEnded, RequestObserver

log = logs.get(__name__)

RECENT = 20  # requests whose median time to the first token is reported
RATE_SECONDS = 60.0  # window of the reported tokens per second; longer than most requests
MOST_ENDED = 2_000  # requests remembered for it; 33 a second fill the window


class Qos(Protocol):
    """The part of kombu.common.QoS that is used; the consuming thread applies the changes."""

    value: int

    def increment_eventually(self, n: int = 1) -> int:
        """Raise the prefetch count."""

    def decrement_eventually(self, n: int = 1) -> int:
        """Lower the prefetch count, to 1 at least."""


class ConcurrencyLimiter:
    """`job` and its observer may be called from any thread, `adjust` from the heartbeat. `fixed`: never changes."""

    def __init__(self, *, most: int, fixed: int | None = None) -> None:
        self._controller = None if fixed else ConcurrencyController(most=most)
        self.limit = fixed or (self._controller.limit if self._controller else 1)
        self.reason = "fixed" if fixed else "start"
        self._lock = threading.Lock()
        self._running = 0
        self._area = 0.0  # requests in flight, integrated over time: request-seconds
        self._at = time.monotonic()
        self._first_tokens: deque[float] = deque(maxlen=RECENT)
        self._ended: deque[tuple[float, float, int]] = deque(maxlen=MOST_ENDED)
        """start, end and output tokens of requests whose server counts them"""

    def job(self, seconds: float, *, cancelled: Callable[[], bool] = lambda: False) -> RequestObserver:
        """Register a job with a time limit of `seconds`; returns the observer of its requests.

        Once `cancelled` is true, a request that ends tells nothing about the endpoint.
        """
        began = time.monotonic()
        return lambda: self._begun(began, seconds, cancelled)

    def degraded_since(self, when: float) -> bool:
        """Whether trouble has cut the limit since `when`, a time of the monotonic clock."""
        return self._controller is not None and self._controller.degraded_since(when)

    def _begun(self, job_began: float, job_seconds: float, cancelled: Callable[[], bool]) -> RequestEnded:
        started, area = time.monotonic(), self._tick(+1)
        finished = threading.Event()

        def ended(output_tokens: int, failure: str | None, first_token: float | None = None, /) -> None:
            if finished.is_set():
                return
            finished.set()
            at = time.monotonic()
            seconds = max(at - started, 1e-6)
            in_flight = (self._tick(-1) - area) / seconds
            with self._lock:
                if first_token is not None:
                    self._first_tokens.append(first_token)
                if output_tokens:
                    self._ended.append((started, at, output_tokens))
            if self._controller and not cancelled():
                share = (at - job_began) / job_seconds
                self._controller.observe(
                    RequestSample(at, seconds, in_flight, output_tokens, failure, first_token, share)
                )

        return ended

    def adjust(self, qos: Qos, *, running: int, local: bool = True, fitting: int | None = None) -> None:
        """Compute the limit and apply it to Celery; also restores it after a reconnection.

        `local`: the model server runs on this machine, so its memory limits the concurrency.
        `fitting`: conversations that fit the memory of this worker's own server; a fixed limit may exceed them.
        """
        if self._controller:
            memory = psutil.virtual_memory()
            share = memory.available / memory.total if local else None
            decision = self._controller.decide(time.monotonic(), running=running, memory=share)
            if decision.reason:
                log.info("concurrency.changed", before=self.limit, limit=decision.limit, why=decision.reason)
                self.reason = decision.reason
            self.limit = decision.limit
            if fitting is not None and fitting < self.limit:
                self.limit, self.reason = fitting, "memory"
        if (change := self.limit - qos.value) > 0:
            qos.increment_eventually(change)
        elif change < 0:
            qos.decrement_eventually(-change)

    def status(self) -> JsonObject:
        """Fields for the heartbeat; `first_token_seconds` is the median of recent requests, None before the first.

        `tokens_per_second` is what the endpoint generated for all jobs of this worker together in the last
        RATE_SECONDS, None before the first request that counted its tokens.
        """
        with self._lock:
            latencies, ended = tuple(self._first_tokens), tuple(self._ended)
        latency = round(median(latencies), 3) if latencies else None
        return {
            "limit": self.limit,
            "limit_reason": self.reason,
            "first_token_seconds": latency,
            "tokens_per_second": round(generated(ended, time.monotonic()), 1) if ended else None,
        }

    def _tick(self, change: int) -> float:
        """Return request-seconds until now, then change the number of requests in flight."""
        with self._lock:
            now = time.monotonic()
            self._area += self._running * (now - self._at)
            self._at = now
            self._running += change
            return self._area


def generated(ended: Sequence[tuple[float, float, int]], now: float) -> float:
    """Tokens per second in the RATE_SECONDS before `now`, or since the first start if that is later.

    `ended` has start, end and tokens of each request. A request counts with the share of its time that lies within.
    """
    since = max(now - RATE_SECONDS, min(start for start, _, _ in ended))
    recent = [(start, end, tokens) for start, end, tokens in ended if end > since]
    tokens_since = sum(tokens * (end - max(start, since)) / max(end - start, 1e-6) for start, end, tokens in recent)
    return tokens_since / max(now - since, 1.0)
