"""Flower's Broker page with every queue, and with what Redis itself cannot tell: unacknowledged messages, consumers."""

import asyncio
import logging

from flower.views.broker import BrokerView
from tornado.web import authenticated

from config.errors import StoreError
from config.ledger import Ledger
from config.records import JsonObject
from config.settings import Settings
from producer.flower.prometheus.samples import consumers

logger = logging.getLogger(__name__)


class EveryQueue(BrokerView):  # type: ignore[misc]  # Flower has no type information
    """Flower lists only queues that have a live worker, and with Redis only their messages that no worker has."""

    def initialize(self, ledger: Ledger, settings: Settings) -> None:  # noqa: ARG002 - as the other pages
        """Store what the page reads from."""
        self._ledger = ledger

    @authenticated
    async def get(self) -> None:
        """The page; without queues if Redis cannot be read."""
        try:
            queues = await asyncio.get_running_loop().run_in_executor(None, rows, self._ledger)
        except StoreError as error:
            queues = []
            logger.error("Unable to get queues: %s", error)
        self.render("broker.html", broker_url=self.application.broker_uri, queues=queues)


def rows(ledger: Ledger) -> list[JsonObject]:
    """The queues in the form of RabbitMQ's management API, which Flower's template shows."""
    counted = consumers(ledger.fleet.workers())
    return [
        {
            "name": name,
            "messages": length.ready + (length.unacked or 0),
            "messages_unacknowledged": length.unacked,
            "messages_ready": length.ready,
            "consumers": counted[name],
        }
        for name, length in ledger.server.queues().items()
    ]
