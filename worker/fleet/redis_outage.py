"""An outage of Redis delays work but does not lose it: calls are repeated, and lost messages are only logged."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import redis
from kombu.exceptions import OperationalError

from config import logs
from config.errors import StoreUnavailableError

log = logs.get(__name__)

T = TypeVar("T")
LONGEST_WAIT = 10.0  # seconds between attempts


def retry_while_unavailable(call: Callable[[], T]) -> T:
    """Return the result of `call`; repeat it while the ledger is unreachable, full or rejects the password.

    All other exceptions are raised at once, including other StoreErrors.
    """
    wait = 0.5
    while True:
        try:
            return call()
        except StoreUnavailableError as error:
            log.warning("ledger.waiting", error=str(error), seconds=wait)
        time.sleep(wait)
        wait = min(LONGEST_WAIT, wait * 2)


@contextmanager
def log_broker_errors(event: str, **fields: str) -> Iterator[None]:
    """Log broker errors instead of raising; the reconciler and the supervisor will re-send."""
    try:
        yield
    except (OperationalError, redis.RedisError) as error:
        log.warning(event, error=str(error), **fields)
