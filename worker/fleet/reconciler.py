"""Re-queues pending work that is neither in a queue nor leased by a live worker.

Covers killed workers, messages lost between pop and record, flushed queues, and chords that miscount. Duplicate
messages are harmless: a worker drops a message whose job or stage is leased or finished.
"""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import redis

from config import logs
from config.errors import StoreError, StoreUnavailableError
from config.ledger import Ledger
from config.records import JobState, StageState
from config.topology import GENERATE, ROUTES, Stage
from worker.fleet import broker_messages
from worker.fleet.broker_channel import LONGEST_ID
from worker.fleet.broker_messages import Message

log = logs.get(__name__)

FULL_SCAN_LIMIT = 2000  # pending; above it the queues (1 KB a message) are read only if they hold fewer messages
REREAD_SECONDS = 60.0  # a value that cannot be read heals only by a person, or a newer version of the workers
MAX_RESENT = 500  # messages per heartbeat, about a second: the same thread renews this worker's leases

Send = Callable[[Message], None]
T = TypeVar("T")


class Reconciler:
    """Compares ledger and broker. Remembers the last pass: a message counts as lost if two passes miss it."""

    def __init__(
        self, ledger: Ledger, client: redis.Redis, send: Send, *, silent_seconds: float = broker_messages.SILENT_SECONDS
    ) -> None:
        self._silent_seconds = silent_seconds
        self._ledger = ledger
        self._redis = client
        self._send = send
        self._missing: frozenset[Message] = frozenset()
        self._unreadable: dict[str, float] = {}
        """run -> when it is read again, time.monotonic()"""

    def reap(self) -> int:
        """Requeue the work of expired leases and send its messages; returns their number."""
        reaped = self._of_each(self._ledger.fleet.active_runs(), self._ledger.fleet.reap)
        for run_id, members in reaped:
            for member in members:
                log.warning("lease.reaped", run_id=run_id, member=member[:LONGEST_ID])
                if len(member) <= LONGEST_ID:  # a worker would set a message with a longer one aside
                    self._send(message_for(run_id, member))
        return sum(len(members) for _, members in reaped)

    def resend(self) -> int:
        """Send messages for pending work that two passes in a row did not find in the broker; returns their number."""
        pending_count = self._pending_count()
        if not pending_count or (
            pending_count > FULL_SCAN_LIMIT and broker_messages.count(self._redis) >= pending_count
        ):
            self._missing = frozenset()
            return 0
        pending = self._pending()
        queues = {ROUTES[task]["queue"] for task, *_ in pending}  # for a pending stage, do not read 100,000 jobs
        queued = broker_messages.present(self._redis, silent_seconds=self._silent_seconds, queues=queues)
        missing = frozenset(pending - queued)
        lost = sorted(missing & self._missing)[:MAX_RESENT]
        for message in lost:
            self._send(message)
        if lost:
            log.warning("messages.requeued", count=len(lost), first=lost[0])
        self._missing = missing.difference(lost)
        return len(lost)

    def _pending_count(self) -> int:
        """Count pending work without reading job ids: 100,000 ids are 4 MB and take half a second per heartbeat."""
        counts = self._of_each(self._sent_runs(), lambda run_id: self._ledger.jobs.counts(run_id)[JobState.QUEUED])
        return sum(count for _, count in counts) + len(self._ready_stages())

    def _sent_runs(self) -> list[str]:
        """Runs that go on, without those whose messages a producer is still sending."""
        return [run_id for run_id in self._going() if not self._ledger.being_sent(run_id)]

    def _going(self) -> list[str]:
        """Active runs that are not paused."""
        paused = self._ledger.controls.paused()
        return [run_id for run_id in self._ledger.fleet.active_runs() if run_id not in paused]

    def _pending(self) -> set[Message]:
        queued = self._of_each(self._sent_runs(), self._queued)
        return self._ready_stages() | {(GENERATE, run_id, job_id) for run_id, ids in queued for job_id in ids}

    def _queued(self, run_id: str) -> list[str]:
        ids = self._ledger.jobs.ids(run_id, JobState.QUEUED)
        if (longest := max(map(len, ids), default=0)) > LONGEST_ID:
            raise ValueError(f"a job id of {longest} characters, which no message may name")
        return ids

    def _ready_stages(self) -> set[Message]:
        def ready(run_id: str) -> list[Message]:
            views = (self._ledger.stages.view(run_id, stage) for stage in Stage)
            return [(view.stage.value, run_id) for view in views if view.state is StageState.READY]

        return {message for _, messages in self._of_each(self._going(), ready) for message in messages}

    def _of_each(self, run_ids: Iterable[str], look: Callable[[str], T]) -> list[tuple[str, T]]:
        """What `look` returns for each run, without those that cannot be read: they are set aside.

        They are read again after REREAD_SECONDS: a thousand of them would slow every pass.
        """
        seen: list[tuple[str, T]] = []
        now = time.monotonic()
        for run_id in run_ids:
            if self._unreadable.get(run_id, now) > now:
                continue
            try:
                seen.append((run_id, look(run_id)))
            except StoreUnavailableError:
                raise
            except (StoreError, ValueError, LookupError, TypeError) as error:
                if run_id not in self._unreadable:
                    reason = f"{type(error).__name__}: {error}"
                    log.error("run.unreadable", run_id=run_id, error=reason)  # a thousand tracebacks take half a minute
                    self._ledger.dead_letters.add(f"run {run_id}", "", reason)
                self._unreadable[run_id] = now + REREAD_SECONDS
        return seen


def message_for(run_id: str, member: str) -> Message:
    """Message for a leased member: a job id or "stage:NAME"."""
    stage = member.removeprefix("stage:")
    return (GENERATE, run_id, member) if stage == member else (stage, run_id)
