"""Owed work: what the ledger still owes and no queue and no living worker holds is queued again.

It covers a worker killed with its jobs, a message lost between pop and record, a flushed broker, and a chord that lost
count. Sending too often is harmless: a job or stage that is held or finished drops the message.
"""

from collections.abc import Callable

import redis

from config import logs
from config.ledger import Ledger
from config.records import JobState, StageState
from config.topology import GENERATE, Stage
from worker import messages
from worker.messages import Message

log = logs.get(__name__)

SCAN_FREELY = 2000  # owed; above it the queues, 1 KB a message, are read only when they are shorter than the debt

Send = Callable[[Message], None]


class Reconciler:
    """Compares ledger and broker; remembers one pass, so that a message on its way is not taken for a lost one."""

    def __init__(
        self, ledger: Ledger, client: redis.Redis, send: Send, *, silent_seconds: float = messages.SILENT_SECONDS
    ) -> None:
        self._silent_seconds = silent_seconds
        self._ledger = ledger
        self._redis = client
        self._send = send
        self._missing: frozenset[Message] = frozenset()

    def reap(self) -> int:
        """Owe again what silent workers held, and queue it at once; how many."""
        reaped = 0
        for run_id in self._ledger.fleet.active_runs():
            for member in self._ledger.fleet.reap(run_id):
                message = message_of(run_id, member)
                log.warning("lease.reaped", run_id=run_id, member=member)
                self._send(message)
                reaped += 1
        return reaped

    def resend(self) -> int:
        """Queue what two passes in a row found owed and nowhere in the broker; how many."""
        owed = self._owed()
        if not owed or (len(owed) > SCAN_FREELY and messages.count(self._redis) >= len(owed)):
            self._missing = frozenset()
            return 0
        missing = frozenset(owed - messages.present(self._redis, silent_seconds=self._silent_seconds))
        lost = missing & self._missing
        for message in sorted(lost):
            self._send(message)
        if lost:
            log.warning("messages.resent", count=len(lost), first=sorted(lost)[0])
        self._missing = missing - lost
        return len(lost)

    def _owed(self) -> set[Message]:
        owed: set[Message] = set()
        for run_id in self._ledger.fleet.active_runs():
            owed |= {(GENERATE, run_id, job_id) for job_id in self._ledger.jobs.ids(run_id, JobState.QUEUED)}
            views = (self._ledger.stages.view(run_id, stage) for stage in Stage)
            owed |= {(view.stage.value, run_id) for view in views if view.state is StageState.OWED}
        return owed


def message_of(run_id: str, member: str) -> Message:
    """The message that asks for a leased member: a job id or "stage:NAME"."""
    stage = member.removeprefix("stage:")
    return (GENERATE, run_id, member) if stage == member else (stage, run_id)
