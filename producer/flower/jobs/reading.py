"""Keep the index of a run up to date with the ledger, in a thread, while somebody looks at it.

The first reading takes the prompts, the states and the verdicts in parts, so that neither Redis nor Flower stops for
it. Later readings take the jobs that workers changed. After a change of many jobs at once, all states are read again;
after a new curation, all verdicts.
"""

import sys
import threading
import time
from dataclasses import dataclass

from config.errors import ApplejackError, UsageError
from config.ledger import Ledger, RunView
from config.ledger.stages import StageView
from config.records import StageState
from config.topology import Stage
from producer.flower.jobs.index import JobIndex, Judged, PromptEntry, judged

WAIT_SECONDS = 0.15  # of a page, for a reading that is under way; a small change is read in 10 ms
PAUSE_SECONDS = 1.0  # between two readings; pages look every two seconds
OVERLAP_SECONDS = 1.0  # read again: a change can enter the ledger in the millisecond of the last reading
SWITCH_SECONDS = 0.0005  # between threads, instead of 5 ms: a page waits that long at each reply while a thread reads
CHUNK = 1000  # rows applied at a time; pages wait for the lock as long as that takes, a few milliseconds
KEEP_SECONDS = 600.0  # an index that no page has asked for since is dropped
MOST = 4  # indexes in memory; one of 100,000 jobs takes 80 MB


@dataclass(frozen=True)
class Seen:
    """What of a run has been read."""

    created: float
    bulk: int
    until: float
    """server time before the last reading of changes"""
    curated: tuple[float | None, int]
    """the curation whose verdicts were read, see `stamp`"""


@dataclass(frozen=True)
class Progress:
    """How far the first reading is."""

    part: str
    done: int
    total: int

    @property
    def words(self) -> str:
        """One sentence for the page."""
        return f"Reading the {self.part} of the jobs: {self.done:,} of {self.total:,}."


class RunIndex:
    """The index of one run. `index` is None until the prompts and states have been read; `lock` guards it."""

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self.run_id = run_id
        self.lock = threading.Lock()
        self.index: JobIndex | None = None
        self.first: list[str] = []
        """ids of the first jobs, known before the index"""
        self.progress = Progress("prompts", 0, 0)
        self.used = time.monotonic()
        self.build_seconds: float | None = None
        self._ledger = ledger
        self._seen: Seen | None = None
        self._error: ApplejackError | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._read_at = self._expired_at = -PAUSE_SECONDS

    def look(self) -> None:
        """Read what has changed, for at most WAIT_SECONDS; a longer reading goes on behind. Raises its last error."""
        self.used = time.monotonic()
        with self._starting:
            idle = self._thread is None or not self._thread.is_alive()
            if idle and (self.used - self._read_at >= PAUSE_SECONDS or self._read_at <= self._expired_at):
                self._thread = threading.Thread(target=self._work, name=f"jobs of {self.run_id}", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(WAIT_SECONDS)
        if self._error is not None:
            raise self._error

    def expire(self) -> None:
        """Have the next look read again at once: this process has changed the run."""
        self._expired_at = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait for the reading that is under way."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        started = time.monotonic()
        try:
            self._update()
            self._error = None
        except ApplejackError as error:  # shown on the page; the next look tries again
            self._error = error
        self._read_at = started

    def _update(self) -> None:
        run = self._ledger.run(self.run_id)
        now = self._ledger.fleet.now()
        curation = self._ledger.stages.view(self.run_id, Stage.CURATE)
        seen = self._seen if self._seen and self._seen.created == run.created else None
        index = self.index if seen else None
        if seen is None or index is None:
            started = time.monotonic()
            self.index = None  # it would be of another run of this id
            index = self._build(run)
            self._judge(index, run, curation)
            with self.lock:
                self.index = index
            self.build_seconds = time.monotonic() - started
        else:
            whole = seen.bulk != run.bulk
            changed = (
                index.ids if whole else self._ledger.jobs.changed(self.run_id, since=seen.until - OVERLAP_SECONDS)[0]
            )
            self._read_rows(index, changed)
            if whole or seen.curated != stamp(run, curation):
                self._judge(index, run, curation)
        self._seen = Seen(run.created, run.bulk, now, stamp(run, curation))

    def _build(self, run: RunView) -> JobIndex:
        prompts: dict[str, PromptEntry] = {}
        for part in self._ledger.jobs.scan_prompts(self.run_id):
            prompts.update((job_id, PromptEntry.of(prompt)) for job_id, prompt in part.items())
            self.progress = Progress("prompts", len(prompts), run.total)
        index = JobIndex(prompts)
        self.first = index.ids[:CHUNK]
        self._read_rows(index, index.ids, first=True)
        return index

    def _read_rows(self, index: JobIndex, job_ids: list[str], *, first: bool = False) -> None:
        for start in range(0, len(job_ids), CHUNK):
            rows = self._ledger.jobs.rows(self.run_id, job_ids[start : start + CHUNK])
            with self.lock:
                index.apply(rows)
            if first:
                self.progress = Progress("states", start + len(rows), len(job_ids))

    def _judge(self, index: JobIndex, run: RunView, curation: StageView) -> None:
        verdicts: dict[str, Judged] = {}
        for part in self._ledger.jobs.scan_verdicts(self.run_id):
            verdicts.update((job_id, judged(verdict)) for job_id, verdict in part.items())
            self.progress = Progress("verdicts", len(verdicts), run.total)
        with self.lock:
            index.judge(verdicts, stale_after=stale_after(run, curation))


class JobIndexes:
    """The indexes of the runs that somebody looks at."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._of: dict[str, RunIndex] = {}
        self._lock = threading.Lock()
        self._sweeping: threading.Timer | None = None
        sys.setswitchinterval(SWITCH_SECONDS)

    def of(self, run_id: str) -> RunIndex:
        """The index of a run, up to date or being read; UsageError if there is no such run."""
        with self._lock:
            known = run_id in self._of
        if not known:
            self._ledger.run(run_id)  # an address that names no run leaves no index behind
        with self._lock:
            found = self._of.setdefault(run_id, RunIndex(self._ledger, run_id))
            found.used = time.monotonic()
            self._drop()
            self._sweep_later()
        try:
            found.look()
        except UsageError:
            with self._lock:  # the run has been removed
                self._of.pop(run_id, None)
            raise
        return found

    def drop_unused(self, *, now: float) -> None:
        """Drop the indexes that no page has asked for in KEEP_SECONDS; `now` is time.monotonic()."""
        with self._lock:
            for run_id in [run_id for run_id, index in self._of.items() if now - index.used > KEEP_SECONDS]:
                del self._of[run_id]

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._of

    def _drop(self) -> None:
        """Keep the MOST recently used."""
        for index in sorted(self._of.values(), key=lambda index: index.used)[:-MOST]:
            del self._of[index.run_id]

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = threading.Timer(KEEP_SECONDS / 10, self._sweep)
            self._sweeping.daemon = True
            self._sweeping.start()

    def _sweep(self) -> None:
        self.drop_unused(now=time.monotonic())
        with self._lock:
            self._sweeping = None
            if self._of:
                self._sweep_later()


def stamp(run: RunView, curation: StageView) -> tuple[float | None, int]:
    """End of the last curation and version of the dataset: they differ whenever the verdicts may differ."""
    return curation.finished if curation.state is StageState.DONE else None, run.version


def stale_after(run: RunView, curation: StageView) -> float | None:
    """When jobs were last resubmitted, if the run has not been curated since: later trajectories have no verdict."""
    if curation.state is StageState.DONE:
        return None
    return max((event.at for event in run.history if event.event == "resubmitted"), default=None)
