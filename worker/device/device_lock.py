"""One lock per host for training and evaluating a student: two Metal processes can crash a Mac."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from config import logs
from config.errors import TrainingError

POLL_SECONDS = 0.5

log = logs.get(__name__)


def _never() -> bool:
    return False


@contextmanager
def device_lock(cancelled: Callable[[], bool] = _never, *, folder: Path | None = None) -> Iterator[None]:
    """Hold this host's model lock during the block. Waits for it, and logs that once.

    The kernel releases the lock when its holder dies. It belongs to the user, not to a data directory: two checkouts on
    one machine share it. Raises TrainingError when `cancelled` turns true while waiting.
    """
    lock = FileLock((folder or Path(tempfile.gettempdir())) / "applejack-model.lock")
    if not _acquired(lock):
        log.info("device_lock.waiting", lock=lock.lock_file, reason="another training or evaluation runs on this host")
        started = time.monotonic()
        while not _acquired(lock):
            if cancelled():
                raise TrainingError("cancelled while waiting for another training or evaluation on this host")
            time.sleep(POLL_SECONDS)
        log.info("device_lock.acquired", seconds=round(time.monotonic() - started, 1))
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
