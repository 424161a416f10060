"""Which jobs and stages lie in the broker, queued or delivered and not acknowledged.

Reads what kombu's Redis transport writes: a list per queue, and the hash "unacked" of what workers have in hand. This
is the one file that knows that layout; tests/integration/test_messages.py fails when kombu changes it.
"""

import base64
import json
from collections.abc import Iterable, Iterator

import redis

from config.ledger.store import decode, decode_list, redis_errors
from config.topology import QUEUES
from worker.fleet.visibility_timeout import INDEX

SILENT_SECONDS = 20.0  # a lease: what was not renewed for so long is in nobody's hand
CHUNK = 1000  # messages read per round trip: 1 KB each
UNACKED = "unacked"

Message = tuple[str, ...]
"""(task name, run_id) or (task name, run_id, job_id)"""


def count(client: redis.Redis) -> int:
    """Messages in all queues and in hand."""
    with redis_errors():
        return sum(client.llen(queue) for queue in QUEUES) + int(client.hlen(UNACKED))


def present(
    client: redis.Redis, *, silent_seconds: float = SILENT_SECONDS, queues: Iterable[str] = QUEUES
) -> set[Message]:
    """Every message of ours in these queues, and in hand; one that cannot be read is left out.

    So is one in the hand of a worker that has not renewed it for `silent_seconds`: kombu will deliver it again only
    after the visibility timeout.
    """
    return {message for raw in _raw(client, silent_seconds, queues) if (message := _message(raw))}


def _raw(client: redis.Redis, silent_seconds: float, queues: Iterable[str]) -> Iterator[dict[str, object]]:
    with redis_errors():
        for queue in queues:
            for start in range(0, client.llen(queue), CHUNK):
                for blob in client.lrange(queue, start, start + CHUNK - 1):
                    yield json.loads(decode(blob))
        now, _ = client.time()
        tags = decode_list(client.zrange(INDEX, str(now - silent_seconds), "+inf", byscore=True))
        held = client.hmget(UNACKED, tags) if tags else []
        for blob in (blob for blob in held if blob is not None):  # None: acknowledged meanwhile
            yield json.loads(decode(blob))[0]


def _message(raw: dict[str, object]) -> Message | None:
    headers, body = raw.get("headers"), raw.get("body")
    if not isinstance(headers, dict) or not isinstance(body, str):
        return None
    args = json.loads(base64.b64decode(body))[0]
    return (str(headers.get("task")), *(str(arg) for arg in args))
