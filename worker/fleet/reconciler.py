"""Re-queues pending work that is neither in a queue nor leased by a live worker.

Covers killed workers, messages lost between pop and record, flushed queues, and chords that miscount. Duplicate
messages are harmless: a worker drops a message whose job or stage is leased or finished.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

import redis

from config import logs
from config.errors import UNREADABLE_RUN, StoreUnavailableError
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.records import RUN_ID, JobState, JsonObject, StageState
from config.topology import GENERATE, QUEUE_GENERATE, ROUTES, Stage
from worker.fleet import broker_messages
from worker.fleet.broker_messages import Message

log = logs.get(__name__)

FULL_SCAN_LIMIT = 2000  # pending; above it the queues (1 KB a message) are read only if they hold fewer messages
REREAD_SECONDS = 60.0  # a value that cannot be read heals only by a person, or a newer version of the workers
SHOWN = 80  # characters of an id that is none
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
        self._workers: list[WorkerView] = []

    @property
    def queues(self) -> frozenset[str]:
        """The queues that this worker's Redis user may serve: only their work is reconciled."""
        return self._ledger.permissions.served()

    def reap(self) -> int:
        """Requeue the work of expired leases and send its messages; returns their number."""
        reaped = self._of_each(self._ledger.fleet.active_runs(), self._ledger.fleet.reap)
        for run_id, members in reaped:
            for member in members:
                log.warning("lease.reaped", run_id=run_id, member=member[:SHOWN])
                if re.fullmatch(RUN_ID, member.removeprefix("stage:")):  # a worker would set any other one aside
                    self._send(message_for(run_id, member))
        return sum(len(members) for _, members in reaped)

    def resend(self) -> int:
        """Send messages for pending work that two passes in a row did not find in the broker; returns their number."""
        live = self._ledger.fleet.workers()
        self._workers = [view for view in live if view.silent_seconds <= self._silent_seconds]
        pending_count = self._pending_count()
        if not pending_count or (
            pending_count > FULL_SCAN_LIMIT and broker_messages.count(self._redis, self.queues) >= pending_count
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
        """Runs whose jobs may be sent: they go on, a worker can read them, and no producer is still sending."""
        if QUEUE_GENERATE not in self.queues:
            return []
        runs, unread = self._going(), self._read_by_nobody(QUEUE_GENERATE)
        return [run_id for run_id in runs if run_id not in unread and not self._ledger.being_sent(run_id)]

    def _read_by_nobody(self, queue: str) -> set[str]:
        """Runs that every live worker of a queue leaves to a later version: each would drop their messages."""
        left = [
            set(cast(JsonObject, view.fields.get("newer_runs") or {}))
            for view in self._workers
            if queue in cast(list[str], view.fields.get("queues") or [])
        ]
        return set.intersection(*left) if left else set()

    def _going(self) -> list[str]:
        """Active runs that are not paused."""
        paused = self._ledger.controls.paused()
        return [run_id for run_id in self._ledger.fleet.active_runs() if run_id not in paused]

    def _pending(self) -> set[Message]:
        queued = self._of_each(self._sent_runs(), self._queued)
        return self._ready_stages() | {(GENERATE, run_id, job_id) for run_id, ids in queued for job_id in ids}

    def _queued(self, run_id: str) -> list[str]:
        ids = self._ledger.jobs.ids(run_id, JobState.QUEUED)
        if (wrong := next((job_id for job_id in ids if not re.fullmatch(RUN_ID, job_id)), None)) is not None:
            raise ValueError(f"{wrong[:SHOWN]!r} is not the id of a job")
        return ids

    def _ready_stages(self) -> set[Message]:
        unread = {queue: self._read_by_nobody(queue) for queue in self.queues}
        ready = self._of_each(self._going(), lambda run_id: self._ready_stages_of(run_id, unread))
        return {message for _, messages in ready for message in messages}

    def _ready_stages_of(self, run_id: str, unread: Mapping[str, set[str]]) -> list[Message]:
        ready: list[Message] = []
        for stage in Stage:
            state, queue = self._ledger.stages.view(run_id, stage).state, ROUTES[stage]["queue"]
            ours = queue in unread and run_id not in unread[queue]
            waits = state is StageState.WAITING
            if ours and (state is StageState.READY or (waits and self._ledger.stages.wake(run_id, stage))):
                ready.append((stage.value, run_id))
            if waits:  # so do those after it
                break
        return ready

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
                if not re.fullmatch(RUN_ID, run_id):
                    raise ValueError(f"{run_id!r} is not the id of a run")
                seen.append((run_id, look(run_id)))
            except StoreUnavailableError:
                raise
            except UNREADABLE_RUN as error:
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
