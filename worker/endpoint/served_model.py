"""The child model server of a worker with `--serve`: started, checked, and restarted with exponential backoff."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import logs
from config.endpoint.health import HealthCheck
from config.errors import EndpointError, UsageError
from worker.device.budget import MOST_CONVERSATIONS, Serving, serving
from worker.device.machine import Machine, this_machine
from worker.device.model_memory import Model
from worker.endpoint.model_server import ModelServer, ServerFlags

log = logs.get(__name__)

LONGEST_BACKOFF = 60.0  # seconds between starts of a server that keeps dying


@dataclass
class ServedModel:
    """Only the supervisor's thread calls `ensure`; `server` may be read from any thread."""

    model: str
    log_file: Path
    trip: Callable[[str], None]
    """opens the worker's circuit breaker, with the reason"""
    concurrency: int | None = None
    """jobs at once that the user asked for; None to let the budget decide"""
    server: ModelServer | None = None
    """None until it has generated a token, and after it was lost"""
    machine: Callable[[], Machine] = this_machine
    budget: Serving | None = None
    """how the server fits this machine; None until the model's files are here and were read"""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _starts: int = 0

    def ensure(self, health_check: Callable[[], HealthCheck]) -> None:
        """Start the server if there is none; stop one that died or hangs, so that the next call starts it."""
        server = self.server
        if server is None:
            self._start()
            return
        if not server.alive:
            self._lose(f"the server of {self.model} died: {server.log_tail()}")
            return
        log_size = server.log_size
        health = health_check()
        if health.wedged and server.log_size == log_size:  # a busy server logs its progress, a hung one logs nothing
            self._lose(f"the server of {self.model} is wedged: {health.error}; {server.log_tail()}")
        elif not health.answers and not health.wedged:
            self._lose(f"the server of {self.model} does not answer: {health.error}; {server.log_tail()}")
        else:
            self._starts = 0

    def cancel(self) -> None:
        """End a wait between two starts."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop the server."""
        if self.server:
            self.server.stop()

    def _lose(self, reason: str) -> None:
        self.trip(reason)
        log.warning("model_server.lost", reason=reason)
        if self.server:
            self.server.stop()  # breaks its connections, so that jobs waiting on it are released now
            self.server = None

    def _start(self) -> None:
        self._starts += 1
        wait = min(LONGEST_BACKOFF, 2.0 ** (self._starts - 2)) if self._starts > 1 else 0.0
        if wait and self._stopping.wait(wait):
            return
        folder = Path(self.model).expanduser()
        started = time.monotonic()
        try:
            server = ModelServer(
                folder if folder.is_dir() else self.model, log=self.log_file, flags=self.fitting_flags(folder)
            )
            server.start()
        except (EndpointError, UsageError) as error:
            self.trip(str(error))
            log.warning("model_server.failed", error=str(error), starts=self._starts)
            return
        self.server = server
        log.info("model_server.ready", url=server.url, seconds=round(time.monotonic() - started, 1))

    def fitting_flags(self, folder: Path) -> ServerFlags:
        """Options that fit this machine; UsageError if the model does not fit it."""
        if not folder.is_dir():
            return ServerFlags(decode_concurrency=MOST_CONVERSATIONS + 1)  # not downloaded: nothing is known of it
        self.budget = serving(Model.of(folder), self.machine())
        log.info("model_server.budget", budget=self.budget.line())
        if self.concurrency and self.concurrency > self.budget.conversations:
            log.warning("model_server.overcommitted", concurrency=self.concurrency, budget=self.budget.line())
            self.budget = replace(self.budget, conversations=self.concurrency)
        return ServerFlags.fitting(self.budget)
