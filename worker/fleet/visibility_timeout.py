"""Extends the visibility timeout of this worker's unacknowledged messages while their jobs run.

kombu's Redis transport redelivers a message that is older than the visibility timeout. This file touches the
transport's private state: the delivery tags of a channel, and the index of delivery times.
tests/integration/test_visibility_timeout.py fails when kombu changes either.
"""

from typing import Protocol

import redis

from config.ledger.store import redis_errors

INDEX = "unacked_index"  # zset delivery tag -> when it was delivered or last renewed, epoch seconds


class Consumer(Protocol):
    """The part of celery.worker.consumer.Consumer that is used."""

    task_consumer: object


def unacked_tags(consumer: Consumer) -> list[str]:
    """Delivery tags of this worker's unacknowledged messages; empty while it has no connection."""
    channel = getattr(consumer.task_consumer, "channel", None)
    delivered = getattr(getattr(channel, "qos", None), "_delivered", {})
    while True:
        try:
            return list(delivered)
        except RuntimeError:  # the consuming thread has just added or removed a tag
            continue


def renew(client: redis.Redis, consumer: Consumer) -> int:
    """Set the delivery time of all unacknowledged messages to now; returns their number.

    StoreError if Redis cannot be reached.
    """
    tags = unacked_tags(consumer)
    if tags:
        with redis_errors():
            # server time, because worker/fleet/broker_messages.py compares against it
            seconds, _ = client.time()
            # xx: do not add a message that was acknowledged in the meantime
            client.zadd(INDEX, dict.fromkeys(tags, float(seconds)), xx=True)
    return len(tags)
