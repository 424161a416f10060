"""Progress of a download: shown in the terminal, and by a worker in its heartbeat's status."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from config.model_names import download_text
from config.records import JsonObject


@dataclass(frozen=True)
class Progress:
    """What has arrived of one model."""

    model: str
    bytes: int
    of: int
    by: str = ""
    """who downloads, if this process waits for another one"""

    def __str__(self) -> str:
        """One line for people."""
        by = f" ({self.by} downloads it)" if self.by else ""
        return f"{download_text(self.model, self.bytes, self.of)}{by}"


OnProgress = Callable[[Progress], None]


class Downloads:
    """What this worker downloads now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Progress | None = None

    def status(self) -> JsonObject | None:
        """For the heartbeat's status; None while nothing is downloaded."""
        with self._lock:
            now = self._current
        return {"model": now.model, "bytes": now.bytes, "of": now.of} if now else None

    @contextmanager
    def shown(self, also: OnProgress = lambda _: None) -> Iterator[OnProgress]:
        """A callback for the length of the block; it passes each progress on to `also`."""

        def report(progress: Progress) -> None:
            with self._lock:
                self._current = progress
            also(progress)

        try:
            yield report
        finally:
            with self._lock:
                self._current = None
