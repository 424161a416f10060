"""The child model server of a worker with `--serve`: started, checked, and restarted with exponential backoff.

A server that has answered once is restarted for ever. One that has never answered is given up after three starts that
failed for a reason that does not pass. A kill, a busy device and a failed download pass.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import logs
from config.endpoint.health import HealthCheck
from config.errors import DeviceError, DownloadError, EndpointError, ServerKilledError, UsageError
from worker.device.budget import Serving, serving
from worker.device.device_lock import Use
from worker.device.machine import Machine, this_machine
from worker.device.model_memory import Model
from worker.endpoint.device_turn import DeviceTurn
from worker.endpoint.model_server import ModelServer, ServerFlags
from worker.models.progress import Downloads
from worker.models.resolve import LocalModel

log = logs.get(__name__)

FIRST_BACKOFF = 1.0  # seconds between the first two starts; doubled each time
FIRST_STARTS = 3  # of a server that has never answered: its model does not exist, or does not fit
LONGEST_BACKOFF = 60.0  # seconds between starts of a server that keeps dying


@dataclass
class ServedModel:
    """Only the supervisor's thread calls `ensure`; `server` may be read from any thread."""

    model: str
    log_file: Path
    trip: Callable[[str], None]
    """opens the worker's circuit breaker, with the reason"""
    give_up: Callable[[str], None]
    """ends the worker, with the reason: the model cannot be served"""
    turn: DeviceTurn
    port: int = 0
    """0: any free port"""
    downloads: Downloads = field(default_factory=Downloads)
    """where the progress of a download is published"""
    server: ModelServer | None = None
    """None until it has generated a token, and after it was lost"""
    local: LocalModel | None = None
    """the model on this machine; None until it has been found or downloaded"""
    concurrency: int | None = None
    """jobs at once that the user asked for; None to let the budget decide"""
    machine: Callable[[], Machine] = this_machine
    budget: Serving | None = None
    """how the server fits this machine; None until the model's files are here and were read"""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _failures: int = 0
    """starts that failed and servers that were lost, since the last successful health check"""
    _died: float = float("-inf")
    """time.monotonic() when a server was found to have ended by itself"""
    _hopeless: int = 0
    """starts that failed for a reason that does not pass by itself"""
    _answered: bool = False
    """whether a server of this model has ever generated a token"""

    def ensure(self, health_check: Callable[[], HealthCheck]) -> None:
        """Start the server if there is none; stop one that died or hangs, so that the next call starts it."""
        server = self.server
        if server is None:
            self._start()
            return
        log_size = server.log_size
        health = health_check() if server.alive else None
        if health is None or (not health.answers and not health.wedged and server.ended()):
            self._died = time.monotonic()
            self._lose(f"the server of {self.model} died ({server.ending}): {server.log_tail()}")
        elif health.wedged and server.log_size == log_size:  # a busy server logs its progress, a hung one logs nothing
            self._lose(f"the server of {self.model} is wedged: {health.error}; {server.log_tail()}")
        elif not health.answers:
            self._lose(f"the server of {self.model} does not answer: {health.error}; {server.log_tail()}")
        else:
            self._failures = 0

    def cancel(self) -> None:
        """End a wait between two starts."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop the server and release the device."""
        if self.server:
            self.server.stop()
        self.turn.release()

    def wanted_by(self) -> Use | None:
        """The training or evaluation that waits until this server releases the device."""
        return self.turn.wanted_by() if self.server else None

    def give_way(self) -> None:
        """Stop the server and release the device; the next `ensure` queues for it again."""
        server, self.server = self.server, None  # first: a server that is stopped has not died
        if server:
            server.stop()
        self.turn.release()

    def died_since(self, began: float) -> bool:
        """Whether a server has ended by itself since `began`, a time of time.monotonic()."""
        server = self.server
        return self._died >= began or (server is not None and server.ended())

    def _lose(self, reason: str) -> None:
        self._failures += 1
        self.trip(reason)
        log.warning("model_server.lost", reason=reason)
        if self.server:
            self.give_way()  # breaks its connections, so that jobs waiting on it are released now

    def _start(self) -> None:
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (self._failures - 2)) if self._failures > 1 else 0.0
        if wait and self._stopping.wait(wait):
            return
        try:
            self.local = self._downloaded()  # before the device is claimed, which others can use meanwhile
            if occupied := self.turn.take():
                self.trip(occupied)
                return
            started = time.monotonic()
            server = self._server(self.local.path)
            server.start()
        except (DeviceError, EndpointError, UsageError, DownloadError) as error:
            self.turn.release()
            self._failures += 1
            self.trip(str(error))
            log.warning("model_server.failed", error=str(error), failures=self._failures)
            if isinstance(error, (DownloadError, DeviceError, ServerKilledError)):
                return
            self._hopeless += 1
            if not self._answered and self._hopeless >= FIRST_STARTS and not self._stopping.is_set():
                self.give_up(f"cannot serve {self.model!r}, tried {self._hopeless} times: {error}")
            return
        self.server, self._answered = server, True
        log.info("model_server.ready", url=server.url, seconds=round(time.monotonic() - started, 1))

    def _server(self, folder: Path) -> ModelServer:
        flags, keep = self.fitting_flags(folder), [self.turn.descriptor]
        return ModelServer(folder, log=self.log_file, flags=flags, port=self.port, keep=keep)

    def fitting_flags(self, folder: Path) -> ServerFlags:
        """Options that fit this machine; UsageError if the model does not fit it."""
        self.budget = serving(Model.of(folder), self.machine())
        log.info("model_server.budget", budget=self.budget.line())
        if self.concurrency and self.concurrency > self.budget.conversations:
            log.warning("model_server.overcommitted", concurrency=self.concurrency, budget=self.budget.line())
            self.budget = replace(self.budget, conversations=self.concurrency)
        return ServerFlags.fitting(self.budget)

    def _downloaded(self) -> LocalModel:
        """The model on this machine, downloaded first where it is missing; the pause names the progress."""
        from worker.models.download import ensure_local  # its HTTP client takes half a second to import

        with self.downloads.shown(lambda progress: self.trip(str(progress))) as on_progress:
            found = ensure_local(self.model, on_progress=on_progress, cancelled=self._stopping.is_set)
        self.trip(f"starting the server of {self.model}")
        return found
