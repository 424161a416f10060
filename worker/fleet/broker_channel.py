"""kombu's Redis channel, without the faults by which one message, or a closed connection, ends a worker.

A message that is not one of applejack's is set aside as a dead letter (config/ledger/dead_letters.py). kombu 5.7 raises
on a message that is not JSON, and Celery on some that are; then the worker exits, as does the next one that gets it.
tests/integration/test_dead_letters.py fails when kombu changes what is overridden here.
"""

import base64
import json
import re
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import TypeVar

import redis
from kombu.exceptions import KombuError
from kombu.transport import redis as kombu_redis
from pydantic import ValidationError

from config import logs
from config.errors import StoreError
from config.ledger.dead_letters import DeadLetters
from config.ledger.server import routing_key
from config.ledger.store import decode
from config.records import RUN_ID
from config.topology import GENERATE, QUEUES, ROUTES
from worker.fleet.message_shapes import Embed, Headers, Shape

log = logs.get(__name__)
S = TypeVar("S", bound=Shape)

SHOWN = 200  # characters of an unknown task's name


class UnreadableMessageError(ValueError):
    """A message that is not one of applejack's."""


class QoS(kombu_redis.QoS):
    """Restores unacknowledged messages; sets those aside that cannot be restored."""

    @staticmethod
    def served() -> frozenset[str]:
        """The queues that this worker's Redis user may serve."""
        return frozenset(QUEUES)

    def restore_by_tag(self, tag: object, client: redis.Redis | None = None, leftmost: bool = False) -> None:
        """Put one message back into its queue; one of a queue of other users is left to their workers."""
        if not self._is_ours(tag, client):
            return
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            with self.channel.conn_or_acquire(client) as connected:
                raw = connected.hget(self.unacked_key, tag) or b""
                connected.hdel(self.unacked_key, tag)
                connected.zrem(self.unacked_index_key, tag)
                set_aside(connected, "unacked", raw, f"{type(error).__name__}: {error}")

    def _is_ours(self, tag: object, client: redis.Redis | None) -> bool:
        served = self.served()
        if served == frozenset(QUEUES):
            return True
        with self.channel.conn_or_acquire(client) as connected:
            queue = routing_key(connected.hget(self.unacked_key, tag))
        return queue not in QUEUES or queue in served


class Channel(kombu_redis.Channel):
    """The channel of all broker connections of a worker."""

    QoS = QoS

    def _connparams(self, asynchronous: bool = False) -> object:
        # kombu 5.7 raises AttributeError there. Celery takes that for a bug and ends the worker.
        if self.connection.client is None:
            raise redis.ConnectionError("the connection is closed; the reconciler will requeue unacknowledged messages")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: object) -> bool:
        """Take one message, as kombu does, but do not raise for what is in it."""
        try:
            try:
                popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not popped:
                raise Empty
            queue = decode(popped[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._take(queue, popped[1])
            return True
        finally:
            self._in_poll = None  # type: ignore[assignment]
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call]

    def _deliver_fanout_message(self, message: object, exchange: str) -> bool:
        """Deliver a control message; one that Celery cannot read is only logged."""
        try:
            return bool(super()._deliver_fanout_message(message, exchange))  # type: ignore[no-untyped-call]
        except (TypeError, ValueError, LookupError, AttributeError):
            log.exception("control_message.unreadable", exchange=exchange)
            return True

    def _take(self, queue: str, raw: bytes) -> None:
        try:
            message = parse(raw, queue)
        except UnreadableMessageError as error:
            self._set_aside(queue, raw, str(error))
            return
        try:
            self.connection._deliver(message, queue)
        except (OSError, redis.RedisError, KombuError, StoreError, Empty):
            raise
        except Exception as error:  # whatever Celery does not expect in a message must not end the worker
            log.exception("message.unreadable", queue=queue)
            self._set_aside(queue, raw, f"{type(error).__name__}: {error}")
            with suppress(KeyError):  # it had not been counted as delivered
                self.basic_reject(message["properties"]["delivery_tag"], requeue=False)  # type: ignore[no-untyped-call]

    def _set_aside(self, queue: str, raw: bytes, reason: str) -> None:
        with self.conn_or_acquire() as client:
            set_aside(client, queue, raw, reason)


def parse(raw: bytes, queue: str) -> dict[str, dict[str, object]]:
    """A message of one of applejack's tasks, as kombu reads it; UnreadableMessageError says what is wrong with it."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UnreadableMessageError(f"not JSON: {error}") from error
    match message:
        case {
            "body": str(body),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": str(task)},
            "properties": {
                "delivery_tag": str(),
                "delivery_info": {"exchange": str(), "routing_key": str()},
                "body_encoding": "base64",
            },
        }:
            _require_task(task, queue)
            _require_arguments(task, body)
            read: dict[str, dict[str, object]] = message
            return {**read, "headers": _shaped(Headers, read["headers"]).model_dump(exclude_unset=True)}
    raise UnreadableMessageError("not a message of Celery, version 2, with a JSON body")


def _require_task(task: str, queue: str) -> None:
    if task not in ROUTES:
        raise UnreadableMessageError(f"unknown task {task[:SHOWN]!r}")
    if ROUTES[task]["queue"] != queue:
        raise UnreadableMessageError(f"task {task!r} does not belong into the queue {queue!r}")


def _require_arguments(task: str, body: str) -> None:
    try:
        arguments = json.loads(base64.b64decode(body, validate=True))
    except (ValueError, RecursionError) as error:
        raise UnreadableMessageError(f"its body is not JSON in base64: {error}") from error
    match arguments:
        case [[*ids], dict() as keywords, dict() | None as embed] if not keywords:
            _shaped(Embed, embed or {})
            wanted = 2 if task == GENERATE else 1
            if len(ids) == wanted and all(isinstance(name, str) and re.fullmatch(RUN_ID, name) for name in ids):
                return
    raise UnreadableMessageError(f"task {task!r} takes {'a run id and a job id' if task == GENERATE else 'a run id'}")


def _shaped(shape: type[S], given: object) -> S:
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)[0]
        place, said = ".".join(map(str, wrong["loc"]))[:SHOWN], wrong["msg"][:SHOWN]
        raise UnreadableMessageError(f"{place} in its {shape.__name__.lower()}: {said}") from error


def set_aside(client: redis.Redis, queue: str, raw: bytes, reason: str) -> None:
    """Record a dead letter; the log names it too, should the ledger be unavailable."""
    log.warning("message.set_aside", queue=queue, reason=reason, bytes=len(raw))
    with suppress(StoreError):
        DeadLetters(client).add(queue, raw, reason)


def use(served: Callable[[], frozenset[str]], now: Callable[[], float]) -> None:
    """Use this channel class for all broker connections of this process.

    `served`: as QoS.served. `now` is the server's time, seconds since the epoch: kombu compares the delivery times of
    all workers.
    """
    QoS.served = staticmethod(served)  # type: ignore[method-assign]
    kombu_redis.Transport.Channel = Channel
    kombu_redis.time = now  # type: ignore[attr-defined]
