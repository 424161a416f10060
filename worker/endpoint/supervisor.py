"""Supervises a generate worker's model endpoint: health checks, free disk space, and the optional child server.

With `--serve MODEL` the model server is a child of this worker: started, health-checked, restarted with backoff. With
`--endpoint URL` the server belongs to someone else and is only checked. While the circuit breaker is open the worker
consumes no jobs. The file is long because starting, checking and pausing share one state.
"""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from config import logs
from config.endpoint.health import HealthCheck, health_check
from config.errors import EndpointError, FailureKind
from config.model_names import is_served
from config.records import DEFAULT_MODEL, Failure
from config.settings import Settings
from worker.device.budget import Serving
from worker.device.device_lock import Use
from worker.endpoint.circuit_breaker import FAILURE_THRESHOLD, CircuitBreaker
from worker.endpoint.device_turn import DeviceTurn
from worker.endpoint.refused_models import RefusedModels
from worker.endpoint.served_model import ServedModel
from worker.fleet.consumer import Consumer
from worker.fleet.retry import ENDPOINT_FAILURES
from worker.models.progress import Downloads

log = logs.get(__name__)

MIN_FREE_BYTES = 1 << 30  # for workspaces, logs and the server's files; with less, jobs would fail one by one

GRACE_CHECKS = 3  # after a training the device stays free for two to three intervals: its evaluation claims it by then
POLL_SECONDS = 0.2


@dataclass
class EndpointSupervisor:
    """Started with the worker. `pause` and `resume` stop and start the queue's consumer; both may be called twice."""

    settings: Settings
    pause: Callable[[str], None]
    resume: Callable[[], None]
    consuming: Callable[[], bool | None] = lambda: None
    """whether the worker consumes its queue; None while that is unknown"""
    asked: Callable[[], str] = lambda: ""
    """why a person lets this worker take no work; "" if it may"""
    give_up: Callable[[str], None] = lambda _: None
    """ends the worker: the model of its own server cannot be served"""
    min_free_bytes: int = MIN_FREE_BYTES
    journal: Callable[[], str] = lambda: ""
    """why the journal lacks something that this worker made; "" if it lacks nothing"""
    worker: str = "worker"
    """used in the server log's file name, so that two workers in one directory do not read each other's log"""
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    refused: RefusedModels = field(default_factory=RefusedModels)
    """models that the endpoint does not serve; the worker goes on with others"""
    served: ServedModel | None = None
    """the child server; None until `start`, and without `--serve`"""
    downloads: Downloads = field(default_factory=Downloads)
    """what this worker downloads, for its status"""
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _in_flight: Counter[str] = field(default_factory=Counter)
    """jobs that use the endpoint now, by model"""
    _completed: int = 0

    def __post_init__(self) -> None:
        self.consumer = Consumer(
            lambda: self.paused, self.pause, self.resume, self.consuming, self.settings.health_check_seconds
        )
        self._thread = threading.Thread(target=self._run, name="endpoint-supervisor", daemon=True)

    @property
    def paused(self) -> str:
        """Why this worker takes no jobs, "" while it does: a person's wish and the circuit breaker's reason."""
        return "; ".join(filter(None, (self.asked(), self.circuit_breaker.reason)))

    @property
    def endpoint(self) -> str:
        """The base URL of this worker's teacher."""
        return self.served.server.url if self.served and self.served.server else self.settings.endpoint

    @property
    def budget(self) -> Serving | None:
        """How the child server fits this machine; None without one, and while nothing is known of its model."""
        return self.served.budget if self.served else None

    def start(self) -> None:
        """Start supervising. A worker with `--serve` takes no job before its server has answered."""
        if self.settings.serve:
            log_file = self.settings.dir / "logs" / f"model-server-{self.worker}.log"
            turn = DeviceTurn(self.worker, self.settings.lock_dir, GRACE_CHECKS * self.settings.health_check_seconds)
            self.served = ServedModel(
                self.settings.serve,
                log_file,
                self.trip,
                self.give_up,
                turn,
                self.settings.serve_port,
                self.downloads,
                concurrency=self.settings.concurrency,
            )
            self.trip(f"starting the server of {self.settings.serve}")
        self._thread.start()

    def stop(self) -> None:
        """Stop supervising, and stop the child server."""
        self._stop.set()
        if self.served:
            self.served.cancel()
        if self._thread.ident:  # only a generate worker starts it
            self._thread.join(timeout=30)
        if self.served:
            self.served.stop()

    @contextmanager
    def track_request(self, model: str) -> Iterator[None]:
        """Count a job that uses the endpoint's `model` for the length of the block."""
        with self._lock:
            self._in_flight[model] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[model] -= 1
                self._completed += 1

    def server_died_since(self, began: float) -> bool:
        """Whether this worker's own server has died since `began`, a time of time.monotonic().

        A job that ran then may be the cause: the kernel kills a server whose conversations need too much memory.
        """
        return self.served is not None and self.served.died_since(began)

    def confirm_outage(self, failure: Failure, *, model: str | None) -> bool:
        """Whether the endpoint, not the job, is at fault: a health check fails too.

        Then the breaker is tripped, or the model is remembered as refused if the endpoint serves others.
        """
        if failure.kind is FailureKind.TIMEOUT:  # the job's own limit; its last request may hang in a dead server
            return bool(self.circuit_breaker.reason) or bool(model and self.refusal(model))
        if failure.kind not in ENDPOINT_FAILURES:
            return False
        if failure.kind is FailureKind.WRONG_MODEL and model:
            self.refused.add(model, failure.message)
            return True
        health = self.health_check(model)
        if not health.answers:
            if not self._refuses(model, health):
                self.trip(str(health.error), model=model)
            return True
        if self.circuit_breaker.record_failure(failure.kind):
            self.trip(f"{FAILURE_THRESHOLD} jobs in a row failed although the endpoint is healthy: {failure.message}")
        return False

    def refusal(self, model: str) -> str:
        """Why this worker cannot serve a run's model; "" if it can or nothing is known against it.

        Its own server is not asked for another model than its own: mlx_lm would load that one too.
        """
        loaded = self.settings.loaded_model
        if loaded and not is_served(loaded, model):
            return f"requested model {model!r}, but this worker serves {loaded!r}"
        return self.refused.reason(model)

    def _refuses(self, model: str | None, health: HealthCheck) -> bool:
        """Remember a model as refused if its health check failed and the endpoint serves other models."""
        if model is None or health.error is None:
            return False
        wrong = health.error.kind is FailureKind.WRONG_MODEL
        if not wrong and (health.error.kind is not FailureKind.ENDPOINT_ERROR or not self._answers_others(model)):
            return False
        self.refused.add(model, str(health.error))
        return True

    def _answers_others(self, model: str) -> bool:
        return model != self.settings.model and self.health_check().answers

    def health_check(self, model: str | None = None) -> HealthCheck:
        """Request one token, of `model` where one is named."""
        if self.settings.serve and not (self.served and self.served.server):
            why = self.circuit_breaker.reason or "the model server is not running"
            gone = EndpointError(why, kind=FailureKind.ENDPOINT_UNREACHABLE)
            return HealthCheck(gone)
        # by its own name mlx_lm would load it a second time
        if model is None or model == DEFAULT_MODEL or is_served(self.settings.loaded_model, model):
            model = self.settings.model
        key = self.settings.endpoint_key.get_secret_value() if self.settings.endpoint_key else None
        return health_check(self.endpoint, model=model, api_key=key, seconds=self.settings.health_check_timeout)

    def trip(self, reason: str, *, model: str | None = None) -> None:
        """Open the circuit breaker and stop consuming jobs."""
        if self.circuit_breaker.trip(reason, model=model):
            log.warning("worker.paused", reason=reason)
            self.pause(reason)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._tick()
            except Exception:  # only this thread closes the breaker again, so it must survive any error
                log.exception("supervisor.failed")
            self._stop.wait(self.settings.health_check_seconds)

    def _tick(self) -> None:
        if self.served:
            with self.consumer.reconciled():
                if use := self.served.wanted_by():
                    self._make_room(self.served, use)
                self.served.ensure(self.health_check)
        elif not self.circuit_breaker.reason:
            self._check_busy_endpoint()
        if reason := self._disk():
            self.trip(reason)
        elif self._may_resume():
            self.circuit_breaker.reset()
            log.info("worker.resumed")
            self.consumer.update()
        self.consumer.reconcile()

    def _make_room(self, served: ServedModel, use: Use) -> None:
        """Stop the server for a training or an evaluation, after `drain_seconds` for the jobs that it answers."""
        self.trip(f"the model server makes room for {use}")
        deadline = time.monotonic() + self.settings.drain_seconds
        while self._busy() and time.monotonic() < deadline and not self._stop.wait(POLL_SECONDS):
            pass
        log.info("model_server.makes_room", use=str(use), jobs=self._in_flight.total())
        served.give_way()

    def _busy(self) -> bool:
        with self._lock:
            return self._in_flight.total() > 0

    def _may_resume(self) -> bool:
        breaker = self.circuit_breaker
        if not breaker.reason or breaker.cooling_down:
            return False
        health = self.health_check(breaker.model)
        # an endpoint that does not have the model serves: other runs may request another one
        return health.answers or self._refuses(breaker.model or self.settings.model, health)

    def _check_busy_endpoint(self) -> None:
        """Pause when a busy endpoint stops producing tokens; otherwise its jobs would hang until their own timeout."""
        with self._lock:
            used, completed = [model for model, jobs in self._in_flight.items() if jobs], self._completed
        models = [model for model in used if not self.refusal(model)]
        for model in models[:1]:
            health = self.health_check(model)
            # a full server delays the check but finishes jobs
            if not health.answers and completed == self._completed and not self._refuses(model, health):
                self.trip(str(health.error), model=model)

    def _disk(self) -> str:
        self.settings.dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.settings.dir).free
        unwritten = f": {reason}" if (reason := self.journal()) else ""
        low = unwritten or free < self.min_free_bytes
        return f"{free >> 20} MB free in {str(self.settings.dir)!r}{unwritten}" if low else ""
