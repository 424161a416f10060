"""The child model server of a worker with `--serve`: started, checked, and restarted with exponential backoff.

A server that has answered once is restarted for ever. One that has never answered is given up after three starts.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config import logs
from config.endpoint.health import HealthCheck
from config.errors import DeviceError, EndpointError
from worker.device.device_lock import Use
from worker.endpoint.device_turn import DeviceTurn
from worker.endpoint.model_server import ModelServer, ServerFlags

log = logs.get(__name__)

FIRST_BACKOFF = 1.0  # seconds between the first two starts; doubled each time
FIRST_STARTS = 3  # of a server that has never answered: its model does not exist, or does not fit
LONGEST_BACKOFF = 60.0  # seconds between starts of a server that keeps dying
DECODE_CONCURRENCY = (
    64  # above a worker's jobs in flight: in a full batch a health check waits, and the server looks hung
)


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
    server: ModelServer | None = None
    """None until it has generated a token, and after it was lost"""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _starts: int = 0
    _answered: bool = False
    """whether a server of this model has ever generated a token"""

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
        """Stop the server and release the device."""
        if self.server:
            self.server.stop()
        self.turn.release()

    def wanted_by(self) -> Use | None:
        """The training or evaluation that waits until this server releases the device."""
        return self.turn.wanted_by() if self.server else None

    def give_way(self) -> None:
        """Stop the server and release the device; the next `ensure` queues for it again."""
        self.stop()
        self.server = None

    def _lose(self, reason: str) -> None:
        self.trip(reason)
        log.warning("model_server.lost", reason=reason)
        if self.server:
            self.give_way()  # breaks its connections, so that jobs waiting on it are released now

    def _start(self) -> None:
        try:
            occupied = self.turn.take()
        except DeviceError as error:
            occupied = str(error)
        if occupied:
            self.trip(occupied)
            return
        self._starts += 1
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (self._starts - 2)) if self._starts > 1 else 0.0
        if wait and self._stopping.wait(wait):
            return
        folder = Path(self.model).expanduser()
        flags = ServerFlags(decode_concurrency=DECODE_CONCURRENCY)
        model, keep = folder if folder.is_dir() else self.model, [self.turn.descriptor]
        server = ModelServer(model, log=self.log_file, flags=flags, port=self.port, keep=keep)
        started = time.monotonic()
        try:
            server.start()
        except EndpointError as error:
            self.turn.release()
            self.trip(str(error))
            log.warning("model_server.failed", error=str(error), starts=self._starts)
            if self._starts >= FIRST_STARTS and not self._answered and not self._stopping.is_set():
                self.give_up(f"cannot serve {self.model!r}, tried {self._starts} times: {error}")
            return
        self.server, self._answered = server, True
        log.info("model_server.ready", url=server.url, seconds=round(time.monotonic() - started, 1))
