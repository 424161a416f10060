"""Watches runs in a thread and sends notices. It never blocks a command or a run, and a failure only prints a line."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from config.errors import ApplejackError, StoreError, UsageError
from config.ledger import Ledger
from config.records import RunControl, StageState
from config.report.model import Report
from config.report.verdict import summary
from config.topology import Stage
from producer.notify.delivery import deliver
from producer.notify.events import Notice, Rules, Seen, ended, look, look_at_workers
from producer.notify.targets import Target, fingerprint
from producer.run_status import RunStatus
from producer.run_status import status as load_status

POLL_SECONDS = 5.0
CLOSE_SECONDS = 20.0  # for the last notices of a command that ends; most webhooks answer within one
NO_WAIT_SECONDS = 0.5


class Notifier:
    """A thread that looks at runs every POLL_SECONDS, and one more for each delivery."""

    def __init__(
        self,
        ledger: Ledger,
        targets: Sequence[Target],
        *,
        run_id: str | None,
        rules: Rules,
        tell: Callable[[str], None],
        poll: float = POLL_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._targets = tuple(targets)
        self._run_id = run_id
        self._rules = rules
        self._tell = tell
        self._poll = poll
        self._seen: dict[str, Seen] = {}
        self._known: set[str] = set()
        self._paused: dict[str, float] = {}
        self._offered: set[tuple[str, str, str]] = set()
        self._waiting: list[tuple[Target, Notice]] = []
        self._started: float | None = None
        self._away = False
        self._closing, self._hurry = threading.Event(), threading.Event()
        self._deliveries: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._watch, name="notify", daemon=True)

    def start(self) -> None:
        """Begin to watch. A run that has ended before is not told of."""
        self._thread.start()

    def close(self, *, wait: bool) -> None:
        """End. With `wait`, look once more first, and give deliveries CLOSE_SECONDS."""
        deadline = time.monotonic() + (CLOSE_SECONDS if wait else NO_WAIT_SECONDS)
        self._closing.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        for delivery in list(self._deliveries):
            delivery.join(max(0.0, deadline - time.monotonic()))
        self._hurry.set()  # those that wait for their next attempt give up
        for delivery in list(self._deliveries):
            delivery.join(NO_WAIT_SECONDS)

    def _watch(self) -> None:
        while True:
            last = self._closing.is_set()
            try:
                self.look()
                self._away = False
            except StoreError as error:
                if not self._away:  # it comes back by itself; once a failure is enough
                    self._tell(f"notifications wait for the ledger: {error}")
                self._away = True
            except Exception as error:  # noqa: BLE001 - the command goes on without its notices
                self._tell(f"notifications have ended: {type(error).__name__}: {error}")
                return
            if last or self._hurry.is_set():
                return
            self._closing.wait(self._poll)

    def look(self) -> None:
        """Look at the runs and workers once, and start the deliveries of what is new."""
        now = self._ledger.fleet.now()
        active = self._ledger.fleet.active_runs()
        first = self._started is None
        if self._started is None:
            self._started = now
            self._known = set(self._ledger.run_ids()) - set(active)
        for run_id in self._watched(active):
            try:
                self._look_at_run(run_id, now, others_active=any(other != run_id for other in active))
            except UsageError:  # archived meanwhile
                self._seen.pop(run_id, None)
                self._known.add(run_id)
        if active or first:
            self._look_at_workers(now, first=first, active=bool(active))
        self._send()
        self._deliveries = [delivery for delivery in self._deliveries if delivery.is_alive()]

    def _watched(self, active: Sequence[str]) -> list[str]:
        """Active runs, those that were at the last look, and those that came and went since."""
        if self._run_id is not None:
            return [self._run_id]
        new = [run_id for run_id in self._ledger.run_ids() if run_id not in self._known]
        return sorted({*active, *self._seen, *new})

    def _look_at_run(self, run_id: str, now: float, *, others_active: bool) -> None:
        status = load_status(self._ledger, run_id)
        at = self._end_of(status)
        if at is not None:
            self._seen.pop(run_id, None)
            self._known.add(run_id)
            if self._started is not None and at >= self._started:
                self._offer(ended(status, at=at, verdict=verdict_of(status)))
            return
        reports = len(self._ledger.stages.progress(run_id, Stage(status.stage))) if status.stage != "generate" else 0
        seen, notices = look(
            self._seen.get(run_id), status, reports=reports, now=now, rules=self._rules, others_active=others_active
        )
        self._seen[run_id] = seen
        for notice in notices:
            self._offer(notice)

    def _end_of(self, status: RunStatus) -> float | None:
        """When the run ended, server time; None if it has not."""
        if status.control is RunControl.CANCELLED:
            cancelled = [event.at for event in self._ledger.run(status.run_id).history if event.event == "cancelled"]
            return cancelled[-1] if cancelled else 0.0
        if status.stage not in {"done", "failed"}:
            return None
        ends = (StageState.DONE, StageState.FAILED)
        return max((view.finished or 0.0 for view in status.stages if view.state in ends), default=0.0)

    def _look_at_workers(self, now: float, *, first: bool, active: bool) -> None:
        workers, started = self._ledger.fleet.workers(), self._started or now
        self._paused, notices, healthy = look_at_workers(
            self._paused, workers, started=started, now=now, rules=self._rules
        )
        for notice in notices if active else ():
            self._offer(notice)
        prefixes = tuple(f"worker:{name}:" for name in healthy)
        again = {one for one in self._offered if one[1].startswith(prefixes)} if prefixes else set()
        self._offered -= again
        # They recovered, so that the next trouble is another event.
        self._ledger.notices.forget("", *(prefixes if first else sorted({key for _, key, _ in again})))

    def _offer(self, notice: Notice) -> None:
        """Note a notice for each target, unless it was before."""
        for target in self._targets:
            offer = (notice.run_id, notice.key, fingerprint(target))
            if offer not in self._offered:
                self._offered.add(offer)
                self._waiting.append((target, notice))

    def _send(self) -> None:
        """Start the deliveries that are this process's. What another one delivers now is tried again if it fails."""
        waiting, self._waiting = self._waiting, []
        for target, notice in waiting:
            name = f"{notice.key}@{fingerprint(target)}"
            claimed = self._ledger.notices.claim(notice.run_id, name)
            if claimed == "leased":
                self._waiting.append((target, notice))
            elif claimed == "yours":
                deliver_it = partial(self._deliver, target, notice, name)
                self._deliveries.append(threading.Thread(target=deliver_it, name="notice", daemon=True))
                self._deliveries[-1].start()

    def _deliver(self, target: Target, notice: Notice, name: str) -> None:
        arrived = deliver(target, notice, pause=self._hurry.wait, tell=self._tell)
        try:
            if arrived:
                self._ledger.notices.sent(notice.run_id, name)
            else:
                self._ledger.notices.release(notice.run_id, name)
        except ApplejackError as error:
            self._tell(f"the ledger did not record a notification: {error}")


def verdict_of(status: RunStatus) -> str:
    """The verdict of a run's report, "5 of 7 targets reached, 2 missed"; "" without a report."""
    view = next(view for view in status.stages if view.stage is Stage.EVALUATE)
    if view.state is not StageState.DONE or "skipped" in view.result:
        return ""
    try:
        return summary(Report.of_run(status.run_id, view.result).verdict)
    except UsageError:  # of another version
        return ""
