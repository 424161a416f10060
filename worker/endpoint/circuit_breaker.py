"""The circuit breaker of a generate worker: open while its endpoint or its disk cannot serve jobs.

Closed: the worker consumes jobs. Open: it consumes nothing and releases the jobs it has. The endpoint supervisor trips
it and, after a successful health check, resets it.
"""

import threading
import time

from config.errors import FailureKind

FAILURE_THRESHOLD = 3  # unanswered jobs in a row on an endpoint that passes its health checks
FIRST_COOLDOWN = 10.0  # seconds before such an endpoint is tried again; doubled each time until a job succeeds
LONGEST_COOLDOWN = 60.0  # seconds
UNANSWERED = frozenset({FailureKind.ENDPOINT_UNREACHABLE, FailureKind.ENDPOINT_WEDGED})


class CircuitBreaker:
    """Thread-safe. Starts closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason = ""
        self._model: str | None = None
        self._failures_in_a_row = 0
        self._cooldown = FIRST_COOLDOWN
        self._cooldown_until = 0.0

    @property
    def reason(self) -> str:
        """Why it is open, "" while it is closed."""
        with self._lock:
            return self._reason

    @property
    def model(self) -> str | None:
        """The model that must answer before it closes; None for whichever model is served."""
        with self._lock:
            return self._model

    @property
    def cooling_down(self) -> bool:
        """Whether it stays open even if a health check succeeds."""
        with self._lock:
            return time.monotonic() <= self._cooldown_until

    def trip(self, reason: str, *, model: str | None = None) -> bool:
        """Open it; True when it was closed."""
        with self._lock:
            was_closed, self._reason, self._model = not self._reason, reason, model
            return was_closed

    def reset(self) -> None:
        """Close it."""
        with self._lock:
            self._reason, self._model = "", None

    def record_success(self) -> None:
        """A job got its answers: failures are counted from zero again."""
        with self._lock:
            self._failures_in_a_row, self._cooldown = 0, FIRST_COOLDOWN

    def record_failure(self, kind: FailureKind) -> bool:
        """Count a job that failed although the endpoint passes its health check.

        True when the threshold is reached: the cooldown has begun and the caller should trip the breaker.
        """
        with self._lock:
            self._failures_in_a_row = self._failures_in_a_row + 1 if kind in UNANSWERED else 0
            if self._failures_in_a_row < FAILURE_THRESHOLD:
                return False
            self._failures_in_a_row = 0
            self._cooldown_until = time.monotonic() + self._cooldown
            self._cooldown = min(LONGEST_COOLDOWN, 2 * self._cooldown)
            return True
