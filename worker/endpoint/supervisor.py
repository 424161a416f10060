"""The keeper of a generate worker: watches endpoint and disk, owns the model server it serves, tends the gate.

With `--serve MODEL` the server is this worker's child: started, watched, restarted with backoff, its log kept. With
only an endpoint nothing is supervised, and the same is checked. While the gate is closed the worker consumes nothing.
"""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config import logs
from config.endpoint.health import HealthCheck, health_check
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL, Failure
from config.settings import Settings
from worker.endpoint.circuit_breaker import CircuitBreaker
from worker.endpoint.model_server import ModelServer, ServerFlags

log = logs.get(__name__)

MIN_FREE_BYTES = 1 << 30  # for workspaces, logs and the server's files; under it jobs would fail one by one
LONGEST_BACKOFF = 60.0  # seconds between starts of a server that keeps dying
DECODE_CONCURRENCY = 64  # more than a worker has in flight: a full batch would let a probe wait, and look wedged
FAILURE_THRESHOLD = (
    3  # jobs in a row that lost an endpoint which answers a probe, before the probe is no longer believed
)
FIRST_COOLDOWN = 10.0  # seconds such an endpoint is left alone, doubled up to LONGEST_BACKOFF until a job succeeds
BROKEN = frozenset({FailureKind.ENDPOINT_UNREACHABLE, FailureKind.ENDPOINT_WEDGED})  # no answer at all to the job
ENDPOINT_FAILURES = frozenset(  # the job is not to blame
    {
        FailureKind.ENDPOINT_UNREACHABLE,
        FailureKind.ENDPOINT_WEDGED,
        FailureKind.ENDPOINT_ERROR,
        FailureKind.WRONG_MODEL,
    }
)


@dataclass
class EndpointSupervisor:
    """Started with the worker. `pause` and `resume` stop and start consuming; both may be called twice."""

    circuit_breaker: CircuitBreaker
    settings: Settings
    pause: Callable[[str], None]
    resume: Callable[[], None]
    consuming: Callable[[], bool | None] = lambda: None
    """whether the worker consumes its queue; None where nobody can tell now"""
    min_free_bytes: int = MIN_FREE_BYTES
    """bytes"""
    worker: str = "worker"
    """names its server's log: where two workers share a folder, the words of one would pass for the other's progress"""
    _server: ModelServer | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _in_flight: Counter[str] = field(default_factory=Counter)
    """jobs that ask now, by model"""
    _completed: int = 0
    _starts: int = 0
    _failures_in_a_row: int = 0
    _cooldown: float = FIRST_COOLDOWN
    _cooldown_until: float = 0.0

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where this worker's teacher answers."""
        return self._server.url if self._server else self.settings.endpoint

    def start(self) -> None:
        """Begin to watch. A worker that serves takes no job before its server has spoken."""
        if self.settings.serve:
            self.close(f"starting the server of {self.settings.serve}")
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, and the server with it."""
        self._stop.set()
        if self._thread.ident:  # only a generate worker starts it
            self._thread.join(timeout=30)
        if self._server:
            self._server.stop()

    def record_success(self) -> None:
        """A job got its answers here."""
        with self._lock:
            self._failures_in_a_row, self._cooldown = 0, FIRST_COOLDOWN

    @contextmanager
    def track_request(self, model: str) -> Iterator[None]:
        """For the length of the block a job asks the endpoint for this model."""
        with self._lock:
            self._in_flight[model] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[model] -= 1
                self._completed += 1

    def confirm_outage(self, failure: Failure, *, model: str | None) -> bool:
        """Whether this failure is the endpoint's: asked again, it still does not answer. Closes the gate when so."""
        if failure.kind is FailureKind.TIMEOUT:  # of the job, whose last request may be what never came back
            return bool(self.circuit_breaker.reason)
        if failure.kind not in ENDPOINT_FAILURES:
            return False
        found = self.health_check(model)
        if found.answers:
            self._record_failure(failure)
            return False
        self.close(str(found.error), model=model)
        return True

    def health_check(self, model: str | None = None) -> HealthCheck:
        """Ask the endpoint for a token, of the wanted model where one is wanted."""
        if self.settings.serve and self._server is None:
            gone = EndpointError("the model server is not running", kind=FailureKind.ENDPOINT_UNREACHABLE)
            return HealthCheck(gone)
        if model in (None, DEFAULT_MODEL, self.settings.serve):  # by its own name mlx_lm would load it a second time
            model = self.settings.model
        key = self.settings.endpoint_key.get_secret_value() if self.settings.endpoint_key else None
        return health_check(self.endpoint, model=model, api_key=key, seconds=self.settings.health_check_timeout)

    def close(self, reason: str, *, model: str | None = None) -> None:
        """Stop taking jobs."""
        if self.circuit_breaker.close(reason, model=model):
            log.warning("worker.paused", reason=reason)
            self.pause(reason)

    def _record_failure(self, failure: Failure) -> None:
        """Close the gate for a while when job after job loses an endpoint that answers small questions."""
        with self._lock:
            self._failures_in_a_row = self._failures_in_a_row + 1 if failure.kind in BROKEN else 0
            if self._failures_in_a_row < FAILURE_THRESHOLD:
                return
            self._failures_in_a_row, cooldown = 0, self._cooldown
            self._cooldown_until, self._cooldown = time.monotonic() + cooldown, min(LONGEST_BACKOFF, 2 * cooldown)
        self.close(f"{FAILURE_THRESHOLD} jobs in a row failed although the endpoint answers a probe: {failure.message}")

    def _run(self) -> None:
        import worker.generate.job  # noqa: F401 - pydantic-ai takes a second to import: not the first job's second

        while not self._stop.is_set():
            try:
                self._tick()
            except Exception:  # the keeper is what opens the gate again; whatever happened, the next beat must come
                log.exception("supervisor.failed")
            self._stop.wait(self.settings.health_check_seconds)

    def _tick(self) -> None:
        if self.settings.serve:
            with self._reconcile_in_background():
                self._supervise(self.settings.serve)
        elif not self.circuit_breaker.reason:
            self._check_busy_endpoint()
        if reason := self._disk():
            self.close(reason)
        elif (
            self.circuit_breaker.reason
            and time.monotonic() > self._cooldown_until
            and self.health_check(self.circuit_breaker.model).answers
        ):
            self.circuit_breaker.open()
            log.info("worker.resumed")
            self.resume()
        self._reconcile_consumer()

    def _check_busy_endpoint(self) -> None:
        """Close the gate when an endpoint that jobs wait for gives no token: they would wait for their own time."""
        with self._lock:
            asked, before = [model for model, jobs in self._in_flight.items() if jobs], self._completed
        for model in asked[:1]:
            found = self.health_check(model)
            if not found.answers and before == self._completed:  # a full server lets a probe wait, and finishes jobs
                self.close(str(found.error), model=model)

    def _reconcile_consumer(self) -> None:
        """Say it again where consuming and the gate differ: the broadcast that says it can be lost."""
        consuming, reason = self.consuming(), self.circuit_breaker.reason
        if consuming is True and reason:
            self.pause(reason)
        elif consuming is False and not reason:
            self.resume()

    @contextmanager
    def _reconcile_in_background(self) -> Iterator[None]:
        """For the length of the block, which may be minutes of loading a model, agree as in any beat."""
        done = threading.Event()

        def agree() -> None:
            while not done.wait(self.settings.health_check_seconds):
                self._reconcile_consumer()

        thread = threading.Thread(target=agree, name="keeper-agrees", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _disk(self) -> str:
        self.settings.dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.settings.dir).free
        return f"{free >> 20} MB free in {str(self.settings.dir)!r}" if free < self.min_free_bytes else ""

    def _supervise(self, model: str) -> None:
        """Have a server that speaks: start one where there is none, restart one that died or is wedged."""
        server = self._server
        if server is None:
            self._serve(model)
            return
        if not server.alive:
            self._mark_down(f"the server of {model} died: {server.log_tail()}")
            return
        written = server.log_size
        found = self.health_check()
        if found.wedged and server.log_size == written:  # a busy server writes of its progress, a wedged one nothing
            self._mark_down(f"the server of {model} is wedged: {found.error}; {server.log_tail()}")
        elif not found.answers and not found.wedged:
            self._mark_down(f"the server of {model} does not answer: {found.error}; {server.log_tail()}")
        else:
            self._starts = 0

    def _mark_down(self, reason: str) -> None:
        self.close(reason)
        log.warning("model_server.lost", reason=reason)
        if self._server:
            self._server.stop()  # connections break, so that what hangs in it is handed back now
            self._server = None

    def _serve(self, model: str) -> None:
        self._starts += 1
        wait = min(LONGEST_BACKOFF, 2.0 ** (self._starts - 2)) if self._starts > 1 else 0.0
        if wait and self._stop.wait(wait):
            return
        folder = Path(model).expanduser()
        log_file = self.settings.dir / "logs" / f"model-server-{self.worker}.log"
        flags = ServerFlags(decode_concurrency=DECODE_CONCURRENCY)
        server = ModelServer(folder if folder.is_dir() else model, log=log_file, flags=flags)
        started = time.monotonic()
        try:
            server.start()
        except EndpointError as error:
            self.close(str(error))
            log.warning("model_server.failed", error=str(error), starts=self._starts)
            return
        self._server = server
        log.info("model_server.ready", url=server.url, seconds=round(time.monotonic() - started, 1))
