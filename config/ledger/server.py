"""The Redis server itself: Celery's queues, which it holds beside the ledger, and its memory."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import redis

from config.ledger.store import decode, redis_errors
from config.topology import QUEUES

UNACKED = "unacked"  # kombu's hash of delivered messages: [message, exchange, routing key]
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # suffixes of kombu's lists of a queue
NO_EVICTION = "noeviction"
READ_LIMIT = 5_000  # unacknowledged messages, 1 KB each; with more of them only their sum is known


def evicted_by(policy: str) -> str:
    """What a maxmemory-policy drops of applejack's data; a volatile one takes only keys that expire by themselves."""
    return "jobs and trajectories" if policy.startswith("allkeys") else "heartbeats, locks and results"


@dataclass(frozen=True)
class QueueLength:
    """Messages of one queue."""

    ready: int
    """that no worker has taken yet"""
    unacked: int | None
    """that a worker has taken and not finished, or holds until their time; None if there are too many to count"""


class Server:
    """Reads what the server knows of queues and memory."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def queues(self) -> dict[str, QueueLength]:
        """Length of each queue."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for queue in QUEUES:
                for suffix in PRIORITIES:
                    pipe.llen(queue + suffix)
            pipe.hlen(UNACKED)
            *lengths, held = (int(length) for length in pipe.execute())
        steps = len(PRIORITIES)
        unacked = self._unacked() if held <= READ_LIMIT else None
        return {
            queue: QueueLength(
                sum(lengths[number * steps : (number + 1) * steps]), None if unacked is None else unacked[queue]
            )
            for number, queue in enumerate(QUEUES)
        }

    def memory(self) -> tuple[int, int]:
        """Bytes in use, and the limit of the server's configuration; 0 if it has none."""
        with redis_errors():
            found = cast(dict[str, object], self._redis.info("memory"))
        return int(str(found["used_memory"])), int(str(found.get("maxmemory", 0)))

    def eviction(self) -> str:
        """The policy by which the server drops keys at its maxmemory; "" if it refuses writes, or has no maxmemory."""
        with redis_errors():
            found = cast(dict[str, object], self._redis.info("memory"))
        policy = str(found.get("maxmemory_policy", NO_EVICTION))
        return policy if policy != NO_EVICTION and found.get("maxmemory") else ""

    def _unacked(self) -> Counter[str]:
        """Unacknowledged messages by routing key, which is the last string of each."""
        with redis_errors():
            blobs = cast(list[bytes], self._redis.hvals(UNACKED))
        return Counter(end for end in map(routing_key, blobs) if end in QUEUES)


def routing_key(blob: object) -> str:
    """The last string of an unacknowledged message, which names its queue; "" for None."""
    return decode(blob).rstrip(' \n]"').rpartition('"')[2]
