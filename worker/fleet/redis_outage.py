"""Retries while the ledger is unavailable: an outage of Redis delays work but does not lose it."""

import time
from collections.abc import Callable
from typing import TypeVar

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
