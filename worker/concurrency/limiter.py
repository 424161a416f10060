"""The controller at work: what this worker's model requests measure, and how many jobs Celery may hand it.

The limit is Celery's prefetch count: as many messages as may run are in hand, and no more, so that unequal Macs share
one queue fairly. Each change is logged and stands in the worker's heartbeat with its reason.
"""

import threading
import time
from collections import deque
from statistics import median
from typing import Protocol

import psutil

from config import logs
from config.records import JsonObject
from worker.concurrency.controller import ConcurrencyController
from worker.concurrency.latency_model import RequestSample
from worker.concurrency.observer import RequestEnded, RequestObserver

log = logs.get(__name__)

RECENT = 20  # requests whose time to the first token is told


class Qos(Protocol):
    """kombu.common.QoS, the public part that is used; the consuming thread applies what changed."""

    value: int

    def increment_eventually(self, n: int = 1) -> int:
        """Raise the prefetch count."""

    def decrement_eventually(self, n: int = 1) -> int:
        """Lower it; it stays at 1 or more."""


class ConcurrencyLimiter:
    """`job` and what it answers may be called from any thread, `adjust` from the pulse. A fixed limit is kept."""

    def __init__(self, *, most: int, fixed: int | None = None) -> None:
        self._controller = None if fixed else ConcurrencyController(most=most)
        self.limit = fixed or (self._controller.limit if self._controller else 1)
        self.reason = "fixed" if fixed else "start"
        self._lock = threading.Lock()
        self._running = 0
        self._area = 0.0  # requests in flight, summed up over time: request-seconds
        self._at = time.monotonic()
        self._first_tokens: deque[float] = deque(maxlen=RECENT)

    def job(self, seconds: float) -> RequestObserver:
        """A job begins that may take so many seconds; what it answers is called when a request of it begins."""
        began = time.monotonic()
        return lambda: self._begun(began, seconds)

    def degraded_since(self, when: float) -> bool:
        """Whether the server has been found in trouble since then, on the monotonic clock."""
        return self._controller is not None and self._controller.degraded_since(when)

    def _begun(self, job_began: float, job_seconds: float) -> RequestEnded:
        started, area = time.monotonic(), self._tick(+1)
        once = threading.Event()

        def ended(output_tokens: int, failure: str | None, first_token: float | None = None, /) -> None:
            if once.is_set():
                return
            once.set()
            at = time.monotonic()
            seconds = max(at - started, 1e-6)
            in_flight = (self._tick(-1) - area) / seconds
            if first_token is not None:
                with self._lock:
                    self._first_tokens.append(first_token)
            if self._controller:
                share = (at - job_began) / job_seconds
                self._controller.observe(
                    RequestSample(at, seconds, in_flight, output_tokens, failure, first_token, share)
                )

        return ended

    def adjust(self, qos: Qos, *, running: int, local: bool = True) -> None:
        """Decide anew, and let Celery know; also after a reconnection, which forgets it.

        `local`: the model server shares this machine's memory, so that memory counts.
        """
        if self._controller:
            memory = psutil.virtual_memory()
            share = memory.available / memory.total if local else None
            decision = self._controller.decide(time.monotonic(), running=running, memory=share)
            if decision.reason:
                log.info("concurrency.changed", before=self.limit, limit=decision.limit, why=decision.reason)
                self.reason = decision.reason
            self.limit = decision.limit
        if (more := self.limit - qos.value) > 0:
            qos.increment_eventually(more)
        elif more < 0:
            qos.decrement_eventually(-more)

    def status(self) -> JsonObject:
        """For the heartbeat; `first_token_seconds` is the median of the last requests, None before the first."""
        with self._lock:
            seen = tuple(self._first_tokens)
        first = round(median(seen), 3) if seen else None
        return {"limit": self.limit, "limit_reason": self.reason, "first_token_seconds": first}

    def _tick(self, change: int) -> float:
        """The area up to now; then so many more requests are in flight."""
        with self._lock:
            now = time.monotonic()
            self._area += self._running * (now - self._at)
            self._at = now
            self._running += change
            return self._area
