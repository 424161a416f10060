"""Whether this worker takes jobs: closed with a reason while its endpoint or its disk cannot serve them."""

import threading


class CircuitBreaker:
    """Thread-safe. Closed, the worker stops consuming and hands back what it holds; it opens by itself again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason = ""
        self._model: str | None = None

    @property
    def reason(self) -> str:
        """Why it is closed, "" while it is open."""
        with self._lock:
            return self._reason

    @property
    def model(self) -> str | None:
        """The model that has to answer before it opens, None for whichever is served."""
        with self._lock:
            return self._model

    def close(self, reason: str, *, model: str | None = None) -> bool:
        """Close it; True when it was open."""
        with self._lock:
            was_open, self._reason, self._model = not self._reason, reason, model
            return was_open

    def open(self) -> bool:
        """Open it; True when it was closed."""
        with self._lock:
            was_closed, self._reason, self._model = bool(self._reason), "", None
            return was_closed
