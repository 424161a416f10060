"""Celery's Redis result backend, patient with a Redis that is full as it already is with one that is away."""

import redis
from celery.backends.redis import RedisBackend

REFUSED = (redis.OutOfMemoryError, redis.ReadOnlyError)  # not stored now, maybe later


class PatientBackend(RedisBackend):  # type: ignore[misc]  # celery has no types
    """Named in the result URL, "config.results:PatientBackend+redis://...".

    In a thread pool of Celery 5.7 a result that cannot be stored raises where nobody looks: its message is never
    acknowledged, and the worker has one slot less for ever.
    """

    connection_errors: tuple[type[Exception], ...]
    """what is worth another try"""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.connection_errors = (*self.connection_errors, *REFUSED)

    def on_chord_part_return(self, *args: object, **options: object) -> None:
        """Count one part; asked again until Redis has counted it, which it does once for a task id."""
        self.ensure(lambda: super(PatientBackend, self).on_chord_part_return(*args, **options), ())
