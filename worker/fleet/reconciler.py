"""Owed work: what the ledger still owes and no queue and no living worker holds is queued again.

It covers a worker killed with its jobs, a message lost between pop and record, a flushed broker, and a chord that lost
count. Sending too often is harmless: a job or stage that is held or finished drops the message.
"""

from collections.abc import Callable

import redis

from config import logs
from config.ledger import Ledger
from config.records import JobState, StageState
from config.topology import GENERATE, ROUTES, Stage
from worker.fleet import broker_messages
from worker.fleet.broker_messages import Message

log = logs.get(__name__)

FULL_SCAN_LIMIT = 2000  # owed; above it the queues, 1 KB a message, are read only when they are shorter than the debt
MAX_RESENT = 500  # messages sent again in one beat, about a second: the same thread renews this worker's leases

Send = Callable[[Message], None]


class Reconciler:
    """Compares ledger and broker; remembers one pass, so that a message on its way is not taken for a lost one."""

    def __init__(
        self, ledger: Ledger, client: redis.Redis, send: Send, *, silent_seconds: float = broker_messages.SILENT_SECONDS
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
                message = message_for(run_id, member)
                log.warning("lease.reaped", run_id=run_id, member=member)
                self._send(message)
                reaped += 1
        return reaped

    def resend(self) -> int:
        """Queue what two passes in a row found owed and nowhere in the broker; how many."""
        debt = self._pending_count()
        if not debt or (debt > FULL_SCAN_LIMIT and broker_messages.count(self._redis) >= debt):
            self._missing = frozenset()
            return 0
        owed = self._pending()
        queues = {ROUTES[task]["queue"] for task, *_ in owed}  # an owed stage does not wait for a look at 100,000 jobs
        there = broker_messages.present(self._redis, silent_seconds=self._silent_seconds, queues=queues)
        missing = frozenset(owed - there)
        lost = sorted(missing & self._missing)[:MAX_RESENT]
        for message in lost:
            self._send(message)
        if lost:
            log.warning("messages.requeued", count=len(lost), first=lost[0])
        self._missing = missing.difference(lost)
        return len(lost)

    def _pending_count(self) -> int:
        """How much is owed, without naming it: 100,000 job ids are 4 MB and half a second, with every beat."""
        counts = (self._ledger.jobs.counts(run_id)[JobState.QUEUED] for run_id in self._sent())
        return sum(counts) + len(self._ready_stages())

    def _sent(self) -> list[str]:
        """Active runs, but for those whose messages a producer is writing just now."""
        return [run_id for run_id in self._ledger.fleet.active_runs() if not self._ledger.being_sent(run_id)]

    def _pending(self) -> set[Message]:
        owed: set[Message] = set()
        for run_id in self._sent():
            owed |= {(GENERATE, run_id, job_id) for job_id in self._ledger.jobs.ids(run_id, JobState.QUEUED)}
        return owed | self._ready_stages()

    def _ready_stages(self) -> set[Message]:
        owed: set[Message] = set()
        for run_id in self._ledger.fleet.active_runs():
            views = (self._ledger.stages.view(run_id, stage) for stage in Stage)
            owed |= {(view.stage.value, run_id) for view in views if view.state is StageState.READY}
        return owed


def message_for(run_id: str, member: str) -> Message:
    """The message that asks for a leased member: a job id or "stage:NAME"."""
    stage = member.removeprefix("stage:")
    return (GENERATE, run_id, member) if stage == member else (stage, run_id)
