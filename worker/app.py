"""The composition root: what a worker is made of.

celery -A worker.app worker -Q generate --pool threads      (what `applejack worker generate` runs)
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urlsplit

import redis
from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutdown, worker_shutting_down
from kombu.exceptions import OperationalError

from config import logs
from config.address import is_loopback
from config.broker import make_app
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JsonObject
from config.settings import Settings, settings
from config.topology import GENERATE, QUEUE_GENERATE, ROUTES
from config.version import version
from worker.concurrency.limiter import ConcurrencyLimiter, Qos
from worker.endpoint.circuit_breaker import CircuitBreaker
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet import visibility_timeout
from worker.fleet.broker_messages import Message
from worker.fleet.heartbeat import Heartbeat
from worker.fleet.leases import Leases
from worker.fleet.reconciler import Reconciler
from worker.fleet.shutdown import GracefulShutdown
from worker.job_runner import JobRunner
from worker.tasks import register

log = logs.get(__name__)


class Pool(Protocol):
    """celery.concurrency.base.BasePool, as far as it is used."""

    num_processes: int


class Consumer(Protocol):
    """celery.worker.consumer.Consumer, by which worker_ready is sent, as far as it is used."""

    hostname: str
    task_consumer: object
    qos: Qos
    pool: Pool

    def cancel_task_queue(self, queue: str) -> None:
        """Consume a queue no longer; only in the thread that consumes, which is the one that says worker_ready."""


class Worker:
    """One worker process: its application, the pulse that keeps what it holds, the keeper of its endpoint."""

    def __init__(self, chosen: Settings) -> None:
        self.app = make_app(chosen)
        assert chosen.redis_url is not None  # make_app has seen to it
        self._client = ledger_client(chosen.redis_url.get_secret_value())
        self._ledger = Ledger(self._client)
        self._leases = Leases(self._ledger.fleet, lease_seconds=chosen.lease_seconds)
        self._settings = chosen
        self.circuit_breaker = CircuitBreaker()
        self.supervisor = EndpointSupervisor(
            self.circuit_breaker, chosen, pause=self._pause, resume=self._resume, consuming=self._consuming
        )
        name = f"worker-{os.getpid()}@{platform.node()}"
        self.limiter = ConcurrencyLimiter(most=1)  # until the size of the pool is known
        self.steps = JobRunner(
            self._ledger, self._leases, chosen, name, self.limiter, supervisor=self.supervisor, requeue=self._requeue
        )
        self.drain = GracefulShutdown(self._leases, seconds=chosen.drain_seconds)
        self._generates = False
        self._pulse: Heartbeat | None = None
        self._consumer: Consumer | None = None
        register(self.app, self.steps)

    def start(self, consumer: Consumer, queues: list[str]) -> None:
        """Begin to beat under Celery's name for this worker."""
        self.steps.worker = self.supervisor.worker = consumer.hostname
        self._consumer = consumer

        def status() -> JsonObject:
            endpoint = self.supervisor.endpoint if QUEUE_GENERATE in queues else None
            return {
                "queues": list(queues),
                "pid": os.getpid(),
                "endpoint": endpoint,
                "paused": self.circuit_breaker.reason or None,
                **self.limiter.status(),
                "version": version(),
                "clock": time.time(),  # against the ledger's: kombu restores messages by each worker's own
            }

        self._pulse = Heartbeat(
            self._ledger.fleet,
            self._leases,
            Reconciler(self._ledger, self._client, self.send, silent_seconds=self._settings.lease_seconds),
            worker=consumer.hostname,
            status=status,
            before_heartbeat=lambda: self._before_heartbeat(consumer),
        )
        if QUEUE_GENERATE in queues:
            self._generates = True
            self.limiter = ConcurrencyLimiter(most=consumer.pool.num_processes, fixed=self._settings.concurrency)
            self.steps.limiter = self.limiter
            self.limiter.adjust(consumer.qos, running=0)  # before the first message is taken
            if self._settings.serve:  # the keeper's own word for it is a broadcast, and this worker listens to none yet
                consumer.cancel_task_queue(QUEUE_GENERATE)
            self.supervisor.start()
        self._pulse.start()

    def _before_heartbeat(self, consumer: Consumer) -> None:
        if self._generates:
            local = is_loopback(urlsplit(self.supervisor.endpoint).hostname)
            self.limiter.adjust(consumer.qos, running=len(self._leases), local=local)
        visibility_timeout.renew(self._client, consumer)

    def stop(self) -> None:
        """Stop watching and beating; the last thing a worker does in order."""
        if self._pulse:
            self.supervisor.stop()
            self._pulse.stop()

    def send(self, message: Message) -> None:
        """Queue owed work again; what it results in is the ledger's to tell."""
        task, *args = message
        self.app.send_task(task, args=args, queue=ROUTES[task]["queue"], ignore_result=True)

    def _requeue(self, run_id: str, job_id: str, seconds: float) -> None:
        with broker_away("job.not_sent", run_id=run_id, job_id=job_id):  # the reconciler sends it
            self.app.send_task(
                GENERATE, args=(run_id, job_id), queue=QUEUE_GENERATE, ignore_result=True, countdown=seconds or None
            )

    def _pause(self, _: str) -> None:
        with broker_away("pause.not_sent"):  # the keeper says it again
            self.app.control.cancel_consumer(QUEUE_GENERATE, destination=[self.steps.worker])

    def _resume(self) -> None:
        with broker_away("resume.not_sent"):
            self.app.control.add_consumer(QUEUE_GENERATE, destination=[self.steps.worker])

    def _consuming(self) -> bool | None:
        consuming = getattr(self._consumer and self._consumer.task_consumer, "consuming_from", None)
        return None if consuming is None or self.drain.begun else bool(consuming(QUEUE_GENERATE))


@contextmanager
def broker_away(event: str, **fields: str) -> Iterator[None]:
    """Log what could not be sent instead of raising; someone else will see to it."""
    try:
        yield
    except (OperationalError, redis.RedisError) as error:
        log.warning(event, error=str(error), **fields)


visibility_timeout.use_channel()
worker = Worker(settings())
app: Celery = worker.app


def _setup_logging(**_: object) -> None:
    logs.configure(settings())


def _ready(sender: Consumer, **_: object) -> None:
    worker.start(sender, sorted(app.amqp.queues.consume_from))


def _shutting_down(**_: object) -> None:  # once for each signal
    worker.drain.begin()


def _shutdown(**_: object) -> None:  # the last signal: jobs that a warm shutdown waits for have kept their leases
    worker.stop()


setup_logging.connect(_setup_logging)
worker_ready.connect(_ready)
worker_shutting_down.connect(_shutting_down)
worker_shutdown.connect(_shutdown)
