"""Graceful shutdown: finish short jobs, release the rest; a second signal exits at once."""

import os
import threading

from config import logs
from config.errors import StoreError
from worker.fleet.leases import Leases

log = logs.get(__name__)

RELEASE_SECONDS = 2.0  # to release leases after a second signal; leases not released in time expire by themselves


class GracefulShutdown:
    """Begins on SIGTERM or Ctrl-C: stages are cancelled and released at once, jobs after `seconds`."""

    def __init__(self, leases: Leases, *, seconds: float) -> None:
        self._leases = leases
        self._seconds = seconds
        self._begun = False

    def begin(self) -> None:
        """Called for each signal, in the main thread; the second call ends the process."""
        if self._begun:
            release = threading.Thread(target=self.release_all, daemon=True)
            release.start()
            release.join(RELEASE_SECONDS)
            os._exit(1)  # threads that still run a job would keep the interpreter alive
        self._begun = True
        # in a thread: a signal may interrupt the main thread while it writes a log line
        threading.Thread(target=self._wait, name="drain", daemon=True).start()

    @property
    def begun(self) -> bool:
        """Whether this worker is shutting down."""
        return self._begun

    def _wait(self) -> None:
        log.info("worker.draining", holds=len(self._leases), seconds=self._seconds)
        self._leases.end()
        threading.Event().wait(self._seconds)
        self.release_all()
        os._exit(0)

    def release_all(self) -> None:
        """Release all leases, so that other workers need not wait until they expire."""
        for lease in self._leases.all():
            lease.closing.set()
            try:
                lease.release("the worker is shutting down")
                log.info("lease.released", run_id=lease.ref.run_id, member=lease.ref.member)
            except StoreError as error:
                log.warning("lease.left_to_expire", member=lease.ref.member, error=str(error))
