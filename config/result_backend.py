"""Celery's Redis result backend that also retries when Redis is up but rejects writes."""

import logging
from collections.abc import Callable

import redis
from celery.backends.redis import RedisBackend

from config.ledger.store import is_unavailable

log = logging.getLogger(__name__)


class RetryingRedisBackend(RedisBackend):  # type: ignore[misc]  # celery has no types
    """Named in the result URL, "config.result_backend:RetryingRedisBackend+redis://...".

    In a thread pool of Celery 5.7 the exception of a result that cannot be stored is lost. Its message is never
    acknowledged, and the worker has one slot less until it restarts. So an outage is waited for, and any other error,
    such as a key of another type, is only logged.
    """

    def ensure(self, fun: Callable[..., object], args: tuple[object, ...], **policy: object) -> object:
        """Call `fun`; retry while Redis is unreachable, full or cannot write. Storing a result retries forever.

        All other calls give up after a while: subscribing to results or deleting them must not keep a process from
        exiting.
        """
        return self._ensured(fun, args, {**policy, "max_retries": None} if fun == self._set else policy)

    def _ensured(self, fun: Callable[..., object], args: tuple[object, ...], policy: dict[str, object]) -> object:
        def call(*given: object) -> object:
            try:
                return fun(*given)
            except redis.ResponseError as error:
                if is_unavailable(error):
                    raise redis.ConnectionError(str(error)) from error  # Celery retries it
                raise

        return super().ensure(call, args, **policy)

    def mark_as_done(self, task_id: str, *args: object, **options: object) -> None:
        """Store a result and count a part of a chord; an error is logged, for the ledger has the outcome already."""
        try:
            super().mark_as_done(task_id, *args, **options)
        except Exception:
            log.exception("the result of message %s is not stored", task_id)

    def mark_as_failure(self, task_id: str, *args: object, **options: object) -> None:
        """As mark_as_done, for a task that raised."""
        try:
            super().mark_as_failure(task_id, *args, **options)
        except Exception:
            log.exception("the result of message %s is not stored", task_id)

    def on_task_call(self, producer: object, task_id: str) -> None:
        """Do not subscribe to the results of sent tasks: outcomes are in the ledger.

        A subscription costs one command per job. AsyncResult.__del__ would end it, possibly after Redis has gone.
        """

    def on_chord_part_return(self, *args: object, **options: object) -> None:
        """Count one part of a chord; retried until it succeeds. Redis counts each task id once."""
        count = super().on_chord_part_return
        self._ensured(lambda: count(*args, **options), (), {"max_retries": None})
