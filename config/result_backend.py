"""Celery's Redis result backend, as patient with a Redis that refuses writes as it is with one that is away."""

from collections.abc import Callable

import redis
from celery.backends.redis import RedisBackend

from config.ledger.store import is_unavailable


class RetryingRedisBackend(RedisBackend):  # type: ignore[misc]  # celery has no types
    """Named in the result URL, "config.result_backend:RetryingRedisBackend+redis://...".

    In a thread pool of Celery 5.7 a result that cannot be stored raises where nobody looks: its message is never
    acknowledged, and the worker has one slot less for ever.
    """

    def ensure(self, fun: Callable[..., object], args: tuple[object, ...], **policy: object) -> object:
        """Call `fun`, again while Redis is away, full or cannot write: to store a result for ever, else for a while.

        What only listens for results or forgets them must not keep a process from ending.
        """
        return self._ensured(fun, args, {**policy, "max_retries": None} if fun == self._set else policy)

    def _ensured(self, fun: Callable[..., object], args: tuple[object, ...], policy: dict[str, object]) -> object:
        def ask(*given: object) -> object:
            try:
                return fun(*given)
            except redis.ResponseError as error:
                if is_unavailable(error):
                    raise redis.ConnectionError(str(error)) from error  # which Celery repeats by its retry policy
                raise

        return super().ensure(ask, args, **policy)

    def on_task_call(self, producer: object, task_id: str) -> None:
        """Subscribe to no result when a task is sent: the ledger tells what came of it.

        A subscription a job would be a command each, and its end, from AsyncResult.__del__, would ask a Redis that may
        have gone.
        """

    def on_chord_part_return(self, *args: object, **options: object) -> None:
        """Count one part; asked again until Redis has counted it, which it does once for a task id."""
        count = super().on_chord_part_return
        self._ensured(lambda: count(*args, **options), (), {"max_retries": None})
