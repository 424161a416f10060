"""Waiting for the ledger: an outage of Redis stops work, it does not lose any."""

import time
from collections.abc import Callable
from typing import TypeVar

from config import logs
from config.errors import StoreUnavailableError

log = logs.get(__name__)

T = TypeVar("T")
LONGEST_WAIT = 10.0  # seconds between tries


def retry_while_unavailable(ask: Callable[[], T]) -> T:
    """What `ask` answers, asked again for as long as the ledger is away, full or refusing the password.

    What waiting does not mend is raised, StoreError among it.
    """
    wait = 0.5
    while True:
        try:
            return ask()
        except StoreUnavailableError as error:
            log.warning("ledger.waiting", error=str(error), seconds=wait)
        time.sleep(wait)
        wait = min(LONGEST_WAIT, wait * 2)
