"""The composition root: what a worker is made of.

celery -A worker.app worker -Q generate --pool threads      (what `applejack worker generate` runs)
"""

import os
import platform
from typing import Protocol

from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutdown

from config import logs
from config.broker import make_app
from config.ledger import Ledger
from config.ledger.store import connect
from config.records import JsonObject
from config.settings import Settings, settings
from config.topology import ROUTES
from worker.leases import Leases
from worker.messages import Message
from worker.pulse import Pulse
from worker.reconcile import Reconciler
from worker.steps import Steps
from worker.tasks import register


class Named(Protocol):
    """What worker_ready is sent by, celery.worker.consumer.Consumer, as far as it is used."""

    hostname: str


class Worker:
    """One worker process: its application, and the pulse that keeps what it holds."""

    def __init__(self, chosen: Settings) -> None:
        self.app = make_app(chosen)
        assert chosen.redis_url is not None  # make_app has seen to it
        self._client = connect(chosen.redis_url.get_secret_value())
        ledger = Ledger(self._client)
        leases = Leases(ledger.fleet, lease_seconds=chosen.lease_seconds)
        self.steps = Steps(
            ledger=ledger, leases=leases, settings=chosen, worker=f"worker-{os.getpid()}@{platform.node()}"
        )
        self._pulse: Pulse | None = None
        register(self.app, self.steps)

    def start(self, name: str, queues: list[str]) -> None:
        """Begin to beat under Celery's name for this worker."""
        self.steps.worker = name
        says: JsonObject = {"queues": list(queues), "pid": os.getpid(), "endpoint": self.steps.settings.endpoint}
        reconciler = Reconciler(self.steps.ledger, self._client, self.send)
        self._pulse = Pulse(self.steps.ledger.fleet, self.steps.leases, reconciler, worker=name, says=lambda: says)
        self._pulse.start()

    def stop(self) -> None:
        """Stop beating."""
        if self._pulse:
            self._pulse.stop()

    def send(self, message: Message) -> None:
        """Queue owed work again; what it results in is the ledger's to tell."""
        task, *args = message
        self.app.send_task(task, args=args, queue=ROUTES[task]["queue"], ignore_result=True)


worker = Worker(settings())
app: Celery = worker.app


def _setup_logging(**_: object) -> None:
    logs.configure(settings())


def _ready(sender: Named, **_: object) -> None:
    worker.start(sender.hostname, sorted(app.amqp.queues.consume_from))


def _shutdown(**_: object) -> None:  # the last signal: jobs that a warm shutdown waits for have kept their leases
    worker.stop()


setup_logging.connect(_setup_logging)
worker_ready.connect(_ready)
worker_shutdown.connect(_shutdown)
