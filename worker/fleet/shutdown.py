"""Shutting down: what is soon done is finished, the rest is handed back, and a second signal waits for nothing."""

import os
import threading

from config import logs
from config.errors import StoreError
from worker.fleet.leases import Leases

log = logs.get(__name__)

RELEASE_SECONDS = 2.0  # for handing back on the second signal; what that does not reach, the lapsing lease does


class GracefulShutdown:
    """SIGTERM or Ctrl-C begins it: long stages are cancelled and handed back at once, jobs after `seconds`."""

    def __init__(self, leases: Leases, *, seconds: float) -> None:
        self._leases = leases
        self._seconds = seconds
        self._begun = False

    def begin(self) -> None:
        """Called for each signal, in the main thread; the second one ends the process."""
        if self._begun:
            log_tail = threading.Thread(target=self._release_all, daemon=True)
            log_tail.start()
            log_tail.join(RELEASE_SECONDS)
            os._exit(1)  # threads with a job in flight would hold the interpreter up
        self._begun = True
        # in a thread: a signal may come while the main thread is in the middle of writing a log line
        threading.Thread(target=self._wait, name="drain", daemon=True).start()

    @property
    def begun(self) -> bool:
        """Whether this worker shuts down."""
        return self._begun

    def _wait(self) -> None:
        log.info("worker.draining", holds=len(self._leases), seconds=self._seconds)
        self._leases.end()
        threading.Event().wait(self._seconds)
        self._release_all()
        os._exit(0)

    def _release_all(self) -> None:
        for lease in self._leases.all():
            try:
                lease.release("its worker shut down")
                log.info("lease.released", run_id=lease.held.run_id, member=lease.held.member)
            except StoreError as error:
                log.warning("lease.left_to_expire", member=lease.held.member, error=str(error))
