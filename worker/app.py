"""The composition root: builds the worker and connects it to Celery's signals.

celery -A worker.app worker -Q generate --pool threads      (what `applejack worker generate` runs)

The file is long because every part of a worker is made and connected here.
"""

import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_ready, worker_shutdown, worker_shutting_down

from config import logs
from config.address import is_loopback, without_secret
from config.broker import make_app
from config.errors import StoreDeniedError, StoreError, StoreUnavailableError, UsageError
from config.exit_codes import EXIT_BAD_INPUT
from config.journal import Journal
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.private_files import make_files_private, restrict, restrict_log
from config.records import JsonObject, WorkerControl
from config.settings import Settings, settings
from config.terminal import say
from config.topology import GENERATE, QUEUE_CURATE, QUEUE_GENERATE, QUEUE_TRAIN, QUEUES, ROUTES
from config.version import version
from worker.concurrency.limiter import ConcurrencyLimiter, Qos
from worker.device.device_lock import occupancy
from worker.device.room import room
from worker.endpoint.served_models import served_models
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet import broker_channel, control, visibility_timeout
from worker.fleet.broker_messages import Message
from worker.fleet.clock import Clock
from worker.fleet.heartbeat import Heartbeat
from worker.fleet.intake import CeleryConsumer, Intake
from worker.fleet.journals import JournalSweeper, unwritten
from worker.fleet.keep_awake import KeepAwake
from worker.fleet.leases import Leases
from worker.fleet.newer_runs import NewerRuns
from worker.fleet.reconciler import Reconciler
from worker.fleet.redis_outage import log_broker_errors
from worker.fleet.request import as_retry
from worker.fleet.shutdown import GracefulShutdown
from worker.fleet.worker_name import machine, require_free
from worker.job_runner import JobRunner
from worker.models.on_this_machine import student_here
from worker.models.progress import Downloads
from worker.stage_runner import StageRunner
from worker.tasks import register
from worker.tools import sandbox

log = logs.get(__name__)


class Pool(Protocol):
    """The part of celery.concurrency.base.BasePool that is used."""

    num_processes: int


class Consumer(CeleryConsumer, Protocol):
    """The part of celery.worker.consumer.Consumer, the sender of worker_ready, that is used."""

    qos: Qos
    pool: Pool


class Worker:
    """One worker process: its Celery application and the parts that the application's tasks need."""

    def __init__(self, settings: Settings) -> None:
        self.app = make_app(settings)
        assert settings.redis_url is not None  # make_app has checked it
        self._client = ledger_client(settings.redis_url.get_secret_value())
        self._ledger = Ledger(self._client)
        self._leases = Leases(self._ledger.fleet, lease_seconds=settings.lease_seconds)
        self._settings = settings
        self.clock = Clock()
        self._downloads = Downloads()
        self.shutdown = GracefulShutdown(self._leases, seconds=settings.drain_seconds)
        self.intake = Intake(
            self.app, ended=lambda: self.shutdown.begun, drain=lambda: os.kill(os.getpid(), signal.SIGTERM)
        )
        self.supervisor = EndpointSupervisor(
            settings,
            pause=lambda _: self.intake.pause(QUEUE_GENERATE),
            resume=lambda: self.intake.resume(QUEUE_GENERATE),
            consuming=lambda: self.intake.consuming(QUEUE_GENERATE),
            asked=lambda: self.intake.reason,
            downloads=self._downloads,
            give_up=self._give_up,
        )
        name = f"worker-{os.getpid()}@{platform.node()}"  # until Celery has named it
        self.limiter = ConcurrencyLimiter(most=1)  # until the size of the pool is known
        self.jobs = JobRunner(
            self._ledger, self._leases, settings, name, self.limiter, supervisor=self.supervisor, requeue=self._requeue
        )
        self._journal = self.jobs.journal = Journal(settings.journal, name)
        self.supervisor.journal = lambda: unwritten(self._journal, self._ledger)
        self._sweeper = JournalSweeper(self._journal, self._ledger)
        self.stages = StageRunner(
            self._ledger, self._leases, settings, name, self._downloads, paused=lambda: self.intake.reason
        )
        self._allowed = {**settings.policy.heartbeat(), **sandbox.heartbeat(settings)}
        self.keep_awake = KeepAwake(settings.caffeinate)
        self._newer = self.jobs.newer = self.stages.newer = NewerRuns()
        self._generates = self._needs_student = False
        self._heartbeat: Heartbeat | None = None
        register(self.app, self.jobs, self.stages, self.clock)
        control.register(self._models)

    def start(self, consumer: Consumer, queues: list[str]) -> None:
        """Start heartbeat and supervision, under the name that Celery gave this worker."""
        self.jobs.worker = self.stages.worker = self.supervisor.worker = consumer.hostname
        self._journal.worker = consumer.hostname
        with suppress(StoreError):  # before the first message; the heartbeat repeats it
            self.clock.compare(self._ledger.fleet.now())
        self._generates = QUEUE_GENERATE in queues
        self._needs_student = QUEUE_CURATE in queues or QUEUE_TRAIN in queues
        self._heartbeat = Heartbeat(
            self._ledger.fleet,
            self._leases,
            Reconciler(self._ledger, self._client, self._send, silent_seconds=self._settings.lease_seconds),
            worker=consumer.hostname,
            status=lambda: self._status(queues),
            before_heartbeat=lambda: self._before_heartbeat(consumer),
        )
        if self._generates:
            self.limiter = ConcurrencyLimiter(most=consumer.pool.num_processes, fixed=self._settings.concurrency)
            self.jobs.limiter = self.limiter
            self.limiter.adjust(consumer.qos, running=0)  # before the first message is taken
            if self._settings.serve:  # the supervisor's own pause is a broadcast, which no worker receives this early
                consumer.cancel_task_queue(QUEUE_GENERATE)
        self._start_intake(consumer, queues)
        if self._generates:
            self.jobs.preload()
            self.supervisor.start()
        self._heartbeat.start()

    def _start_intake(self, consumer: Consumer, queues: list[str]) -> None:
        control: WorkerControl | None = None
        with suppress(StoreError):  # unknown: the first heartbeat reads it
            control = self._ledger.fleet.control(consumer.hostname)
        consumers = [
            self.supervisor.consumer if queue == QUEUE_GENERATE else self.intake.consumer(queue) for queue in queues
        ]
        self.intake.start(consumer, queues, control, consumers)

    def require_name(self, name: str) -> None:
        """Raise UsageError if a live worker has this name."""
        require_free(self._ledger.fleet, name, lease_seconds=self._settings.lease_seconds)

    def require_rights(self, queues: list[str]) -> None:
        """Raise StoreDeniedError if the Redis user may not serve these queues; without Redis it is not known yet."""
        with suppress(StoreUnavailableError):
            self._ledger.permissions.require(queues)

    def served(self) -> frozenset[str]:
        """The queues that the Redis user may serve."""
        return self._ledger.permissions.served()

    def stop(self) -> None:
        """Stop supervision and heartbeat, at the end of a warm shutdown."""
        if self._heartbeat:
            self.supervisor.stop()
            self._heartbeat.stop()
            self.keep_awake.stop()
            if self.intake.drains and self.jobs.worker.partition("@")[0].endswith(f"-{os.getpid()}"):
                with suppress(StoreError):  # named after this process: no other worker will have its name
                    self._ledger.fleet.set_control(self.jobs.worker, WorkerControl.GO)

    def _status(self, queues: list[str]) -> JsonObject:
        return {
            "queues": list(queues),
            "pid": os.getpid(),
            "machine": machine(),
            "endpoint": without_secret(self.supervisor.endpoint) if self._generates else None,
            "paused": (self.supervisor.paused if self._generates else self.intake.reason) or None,
            "refuses": dict(self.supervisor.refused.all()),
            **({"device": device} if (device := self._device(queues)) else {}),
            **({"downloading": download} if (download := self._downloads.status()) else {}),
            **({"budget": budget.line()} if (budget := self.supervisor.budget) else {}),
            **self.limiter.status(),
            **self.keep_awake.status(),
            **room(self._settings.dir),
            **({"serves": serves} if self._generates and (serves := self._settings.loaded_model) else {}),
            **self._allowed,
            **({"newer_runs": dict(newer)} if (newer := self._newer.reasons) else {}),
            "version": version(),
            "visibility_seconds": self._settings.visibility_seconds,  # the shortest in the fleet rules all queues
            "clock": time.time(),  # for `doctor`, which compares it with the ledger's
        }

    def _models(self, teacher: str | None, student: str | None) -> JsonObject:
        return {
            "teacher": served_models(self.supervisor, teacher) if self._generates else None,
            "student": student_here(student) if student and self._needs_student else None,
        }

    def _device(self, queues: list[str]) -> JsonObject:
        """Who uses this host's device, from a worker that may load a model."""
        loads = QUEUE_TRAIN in queues or (self._generates and self._settings.serve)
        return occupancy(self._settings.lock_dir) if loads else {}

    def _before_heartbeat(self, consumer: Consumer) -> None:
        self.clock.compare(self._ledger.fleet.now())
        self._newer.look(self._ledger, self._ledger.fleet.active_runs())
        if self._generates:
            self._sweeper.sweep()
            local = is_loopback(urlsplit(self.supervisor.endpoint).hostname)
            fitting = budget.conversations if (budget := self.supervisor.budget) else None
            self.limiter.adjust(consumer.qos, running=len(self._leases), local=local, fitting=fitting)
        self.intake.obey(self._ledger.fleet.control(consumer.hostname), holds=len(self._leases))
        visibility_timeout.renew(self._client, consumer)
        self.keep_awake.adjust(busy=len(self._leases) > 0)

    def _send(self, message: Message) -> None:
        task, *args = message
        self.app.send_task(task, args=args, queue=ROUTES[task]["queue"], ignore_result=True)

    def _requeue(self, run_id: str, job_id: str, seconds: float) -> None:
        with log_broker_errors("job.not_sent", run_id=run_id, job_id=job_id):
            self.app.send_task(
                GENERATE,
                args=(run_id, job_id),
                queue=QUEUE_GENERATE,
                ignore_result=True,
                # Celery adds this to the local clock, which makes it server time; see OutcomeRequest.eta
                countdown=seconds - self.clock.ahead if seconds else None,
                **as_retry(self.app.current_worker_task),
            )

    def _give_up(self, reason: str) -> None:
        """End this worker, which has taken no job: nothing else in the process waits for the supervisor's thread."""
        with suppress(StoreError):  # leaves the list of workers; an unavailable ledger does not delay the exit
            self._ledger.fleet.leave(self.jobs.worker)
        say(f"applejack: {reason}", file=sys.stderr)
        os._exit(EXIT_BAD_INPUT)


worker = Worker(settings().of_worker())
broker_channel.use(worker.served, worker.clock.now)
app: Celery = worker.app


def _named(sender: str, options: Mapping[str, object], **_: object) -> None:  # before the worker connects to anything
    make_files_private()
    restrict_log()
    restrict(settings().own_places)
    logs.configure(settings())
    logging.captureWarnings(True)  # Celery warns about root here
    if not logs.is_pretty(settings()):  # Celery writes "worker: Warm shutdown" there, past every logger
        sys.__stdout__ = None  # type: ignore[misc]  # as Python sets it in a process without stdout
    try:
        worker.require_name(sender)
    except UsageError as error:
        log.error("worker.name_taken", error=str(error))
        sys.exit(EXIT_BAD_INPUT)
    try:
        worker.require_rights(named_queues(options.get("queues")))
    except StoreDeniedError as error:
        log.error("worker.rights_missing", error=str(error))
        sys.exit(EXIT_BAD_INPUT)


def named_queues(option: object) -> list[str]:
    """The queues of -Q, a text or a list; all without it."""
    names = option.split(",") if isinstance(option, str) else option if isinstance(option, list | tuple) else ()
    return [str(name) for name in names if name in QUEUES] or list(QUEUES)


def _setup_logging(**_: object) -> None:
    """Keeps Celery from configuring its own logging."""


def _ready(sender: Consumer, **_: object) -> None:
    worker.start(sender, sorted(app.amqp.queues.consume_from))


def _shutting_down(**_: object) -> None:  # once per SIGTERM or SIGINT
    worker.shutdown.begin()


def _shutdown(**_: object) -> None:  # after a warm shutdown has waited for its jobs, which kept their leases
    worker.stop()


celeryd_init.connect(_named)
setup_logging.connect(_setup_logging)
worker_ready.connect(_ready)
worker_shutting_down.connect(_shutting_down)
worker_shutdown.connect(_shutdown)
