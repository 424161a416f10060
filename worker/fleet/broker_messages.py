"""The jobs and stages that have a message in the broker, queued or unacknowledged.

Reads the keys of kombu's Redis transport: a list per queue, and the hash "unacked" of delivered messages. Only this
file knows that layout; tests/integration/test_messages.py fails when kombu changes it.
"""

import base64
import json
from collections.abc import Iterable, Iterator

import redis

from config.ledger.store import decode_list, redis_errors
from config.topology import QUEUES
from worker.fleet.visibility_timeout import INDEX

SILENT_SECONDS = 20.0  # one lease; not renewed for this long: the consumer is presumed dead
CHUNK = 1000  # messages read per round trip: 1 KB each
UNACKED = "unacked"

Message = tuple[str, ...]
"""(task name, run_id) or (task name, run_id, job_id)"""


def count(client: redis.Redis, queues: Iterable[str] = QUEUES) -> int:
    """Number of messages in these queues, plus the unacknowledged ones."""
    with redis_errors():
        return sum(client.llen(queue) for queue in queues) + int(client.hlen(UNACKED))


def present(
    client: redis.Redis, *, silent_seconds: float = SILENT_SECONDS, queues: Iterable[str] = QUEUES
) -> set[Message]:
    """All messages in these queues, plus the unacknowledged ones. Skips messages that cannot be parsed.

    Also skips unacknowledged messages not renewed for `silent_seconds`: their worker is presumed dead, and kombu
    redelivers them only after the visibility timeout.
    """
    return {message for raw in _raw(client, silent_seconds, queues) if (message := _message(raw))}


def _raw(client: redis.Redis, silent_seconds: float, queues: Iterable[str]) -> Iterator[bytes | str]:
    with redis_errors():
        for queue in queues:
            for start in range(0, client.llen(queue), CHUNK):
                yield from client.lrange(queue, start, start + CHUNK - 1)
        now, _ = client.time()
        tags = decode_list(client.zrange(INDEX, str(now - silent_seconds), "+inf", byscore=True))
        unacked = client.hmget(UNACKED, tags) if tags else []
        yield from (blob for blob in unacked if blob is not None)  # None: acknowledged in the meantime


def _message(blob: bytes | str) -> Message | None:
    try:
        raw = json.loads(blob)
        envelope = raw[0] if isinstance(raw, list) else raw  # unacknowledged: with exchange and routing key
        args = json.loads(base64.b64decode(envelope["body"]))[0]
        return (str(envelope["headers"]["task"]), *(str(arg) for arg in args))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None  # worker/fleet/broker_channel.py sets it aside when a worker takes it
