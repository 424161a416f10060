"""What this worker takes from its queues, and what a person has asked of it: to pause, to go on, to drain.

The ledger holds the request (Fleet.set_control). Each heartbeat reads it, so it is obeyed within two seconds, and again
by the worker's next process: a request stays until `applejack worker resume NAME`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from celery import Celery

from config import logs
from config.records import WorkerControl
from worker.fleet.consumer import Consumer
from worker.fleet.redis_outage import log_broker_errors

log = logs.get(__name__)

RECONCILE_SECONDS = 5.0


class CeleryConsumer(Protocol):
    """The part of celery.worker.consumer.Consumer that is used."""

    hostname: str
    task_consumer: object

    def cancel_task_queue(self, queue: str) -> None:
        """Stop consuming a queue. Only for the consuming thread, which is the one that sends worker_ready."""


class Intake:
    """Starts and stops consuming; the heartbeat thread calls `obey`. `ended` is whether the worker shuts down already.

    `drain` begins a warm shutdown.
    """

    def __init__(self, app: Celery, *, ended: Callable[[], bool], drain: Callable[[], None]) -> None:
        self._app = app
        self._ended = ended
        self._drain = drain
        self._consumer: CeleryConsumer | None = None
        self._consumers: list[Consumer] = []
        self._control: WorkerControl | None = WorkerControl.GO
        """None: not known yet, the ledger was unavailable when the worker started"""
        self._drained = False
        """an earlier process of this worker has drained; this one waits, so that a service manager starts no loop"""

    def start(
        self, consumer: CeleryConsumer, queues: Sequence[str], control: WorkerControl | None, consumers: list[Consumer]
    ) -> None:
        """Begin with what a person has asked; called in the consuming thread, before it takes its first message."""
        self._consumer, self._consumers = consumer, consumers
        self._control = control
        self._drained = control is WorkerControl.DRAINING
        if self.reason:
            log.warning("worker.paused", reason=self.reason)
            for queue in queues:
                consumer.cancel_task_queue(queue)

    @property
    def reason(self) -> str:
        """Why a person lets this worker take no work, and how it goes on; "" if it may."""
        resume = f"`applejack worker resume {self._consumer.hostname if self._consumer else ''}`"
        match self._control:
            case WorkerControl.GO:
                return ""
            case WorkerControl.PAUSED:
                return f"paused by a person; {resume} lets it go on"
            case WorkerControl.DRAINING if self._drained:
                return f"drained by a person, and started again since; {resume} lets it take work"
            case WorkerControl.DRAINING:
                return f"draining: a person lets it end with the work that it holds; {resume} keeps it"
        return "the ledger was unavailable when this worker started"

    @property
    def drains(self) -> bool:
        """Whether this process ends, or has ended, because a person has asked it to drain."""
        return self._control is WorkerControl.DRAINING and not self._drained

    def obey(self, control: WorkerControl, *, holds: int) -> None:
        """Apply what the ledger says now. `holds`: jobs and stages in flight."""
        if control is not self._control:
            self._drained = self._control is None and control is WorkerControl.DRAINING
            self._control = control
            log.info("worker.asked", control=control.value or "go", reason=self.reason or None)
            for consumer in self._consumers:
                consumer.update()
        else:
            for consumer in self._consumers:
                consumer.reconcile()
        if self.drains and not holds and not self._ended():
            log.info("worker.drained")
            self._drain()

    def consumer(self, queue: str) -> Consumer:
        """The consumer of a queue that only a person pauses."""
        return Consumer(
            lambda: self.reason,
            lambda _: self.pause(queue),
            lambda: self.resume(queue),
            lambda: self.consuming(queue),
            RECONCILE_SECONDS,
        )

    def pause(self, queue: str) -> None:
        """Stop consuming a queue; a broadcast that cannot be sent is repeated later."""
        if self._consumer:
            with log_broker_errors("pause.not_sent"):
                self._app.control.cancel_consumer(queue, destination=[self._consumer.hostname])

    def resume(self, queue: str) -> None:
        """Consume a queue again."""
        if self._consumer:
            with log_broker_errors("resume.not_sent"):
                self._app.control.add_consumer(queue, destination=[self._consumer.hostname])

    def consuming(self, queue: str) -> bool | None:
        """Whether a queue is consumed; None while that is unknown, or the worker shuts down."""
        consuming = getattr(self._consumer and self._consumer.task_consumer, "consuming_from", None)
        return None if consuming is None or self._ended() else bool(consuming(queue))
