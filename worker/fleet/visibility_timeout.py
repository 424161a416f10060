"""What this worker has in hand and not acknowledged stays its own in the broker, however long the work takes.

kombu's Redis transport delivers a message again once it is older than the visibility timeout. This is the one file that
touches the transport's private state: the delivery tags a channel holds, and the index of when each was delivered.
tests/integration/test_visibility_timeout.py fails when kombu changes either.
"""

from typing import Protocol

import redis
from kombu.transport import redis as kombu_redis

from config.ledger.store import redis_errors

INDEX = "unacked_index"  # zset delivery tag -> when it was delivered or last renewed, epoch seconds


class Consumer(Protocol):
    """celery.worker.consumer.Consumer, as far as it is used."""

    task_consumer: object


def held_tags(consumer: Consumer) -> list[str]:
    """The delivery tags that are out with this worker; none while it has no connection."""
    channel = getattr(consumer.task_consumer, "channel", None)
    delivered = getattr(getattr(channel, "qos", None), "_delivered", {})
    while True:
        try:
            return list(delivered)
        except RuntimeError:  # the consuming thread has just added or removed one
            continue


def renew(client: redis.Redis, consumer: Consumer) -> int:
    """Make every message in hand look freshly delivered; how many there are. StoreError when Redis is away."""
    tags = held_tags(consumer)
    if tags:
        with redis_errors():
            seconds, _ = (
                client.time()
            )  # the server's clock, by which worker/fleet/broker_messages.py tells who has gone silent
            client.zadd(
                INDEX, dict.fromkeys(tags, float(seconds)), xx=True
            )  # xx: one acknowledged meanwhile stays gone
    return len(tags)


class Channel(kombu_redis.Channel):
    """kombu's, but for what it raises when messages in hand are to be put back over a connection that is gone.

    kombu 5.7 raises AttributeError there, which Celery takes for its own fault: a cut network ended the worker.
    """

    def _connparams(self, asynchronous: bool = False) -> object:
        if self.connection.client is None:
            raise redis.ConnectionError("the connection is closed; what was in hand is owed and queued again")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[no-untyped-call]


def use_channel() -> None:
    """Have every connection to the broker that this process opens use it."""
    kombu_redis.Transport.Channel = Channel
