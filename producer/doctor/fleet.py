"""The doctor's look at the fleet: work nobody takes, workers that are silent, paused, of another version or time."""

from collections.abc import Iterator
from dataclasses import dataclass

import redis

from config.diagnostics import Check, Diagnosis
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.ledger.store import redis_errors
from config.records import JobState, StageState
from config.topology import QUEUE_GENERATE, QUEUES, ROUTES, Stage
from producer.doctor.store import SKEW_SECONDS, off_by

START = "start one: `applejack worker {}`"


@dataclass(frozen=True)
class FleetDoctor:
    """The workers and queues of one Redis; `client` is for the queues' lengths, which the ledger does not know."""

    ledger: Ledger
    client: redis.Redis
    version: str
    """of this installation"""
    silence: float
    """seconds after which a worker is taken for dead"""

    def checks(self) -> list[Check]:
        """What is looked at."""
        return [
            Check("queues are read", self.queues),
            Check("workers are heard", self.silent),
            Check("workers are not paused", self.paused),
            Check("workers are of one version", self.versions),
            Check("workers' clocks", self.clocks),
            Check("runs have workers", self.stranded),
        ]

    def living(self) -> list[WorkerView]:
        """Workers that have spoken lately."""
        return [view for view in self.ledger.fleet.workers() if view.silent_seconds <= self.silence]

    def consumed(self) -> set[str]:
        """Queues that some living worker takes from; a paused one has left the generate queue."""
        taken: set[str] = set()
        for view in self.living():
            queues = view.fields.get("queues")
            names = {str(name) for name in queues} if isinstance(queues, list) else set()
            taken |= names - ({QUEUE_GENERATE} if view.fields.get("paused") else set())
        return taken

    def queues(self) -> Iterator[Diagnosis]:
        """Messages in a queue that nobody takes from."""
        consumed = self.consumed()
        for name in QUEUES:
            with redis_errors():
                waiting = self.client.llen(name)
            if waiting and name not in consumed:
                yield Diagnosis(
                    "queue_unread",
                    "error",
                    f"{waiting} messages wait in the queue {name!r} and no living worker takes from it",
                    START.format(name),
                )

    def stranded(self) -> Iterator[Diagnosis]:
        """Runs that are owed work which no living worker would take."""
        consumed = self.consumed()
        for run_id in self.ledger.fleet.active_runs():
            jobs = self.ledger.jobs.counts(run_id)[JobState.QUEUED]
            if jobs and QUEUE_GENERATE not in consumed:
                yield stranded(run_id, f"{jobs} jobs", QUEUE_GENERATE)
            for stage in Stage:
                queue = ROUTES[stage.value]["queue"]
                if self.ledger.stages.view(run_id, stage).state is StageState.READY and queue not in consumed:
                    yield stranded(run_id, f"its stage {stage.value!r}", queue)

    def silent(self) -> Iterator[Diagnosis]:
        """Workers that ended without a goodbye; they leave the list after a day."""
        for view in self.ledger.fleet.workers():
            if view.silent_seconds > self.silence:
                yield Diagnosis(
                    "worker_silent",
                    "warning",
                    f"the worker {view.name!r} has not been heard of for {view.silent_seconds:.0f} s",
                    "look at that machine (asleep, killed, cut off?); others run what it held",
                )

    def paused(self) -> Iterator[Diagnosis]:
        """Workers that live and take nothing, with their reason."""
        for view in self.living():
            if reason := view.fields.get("paused"):
                yield Diagnosis(
                    "worker_paused",
                    "warning",
                    f"the worker {view.name!r} takes no jobs: {reason}",
                    "mend that on its machine; it goes on by itself",
                )

    def versions(self) -> Iterator[Diagnosis]:
        """Workers of another applejack than this one."""
        for view in self.living():
            theirs = view.fields.get("version")
            if theirs != self.version:
                yield Diagnosis(
                    "worker_version",
                    "warning",
                    f"the worker {view.name!r} runs applejack {theirs or '(it does not say)'}, here is {self.version}",
                    "install one version everywhere before the next run",
                )

    def clocks(self) -> Iterator[Diagnosis]:
        """Workers whose clock is not the server's: a heartbeat carries theirs, and the ledger knows when it came."""
        now = self.ledger.fleet.now()
        for view in self.living():
            theirs = view.fields.get("clock")
            if not isinstance(theirs, int | float):
                continue
            ahead = theirs - (now - view.silent_seconds)
            if abs(ahead) > SKEW_SECONDS:
                yield Diagnosis(
                    "clock_skew",
                    "error",
                    f"the clock of {view.name!r} is {off_by(ahead)} the server's",
                    "let it set its time over the network; until then it takes over messages others still hold",
                )


def stranded(run_id: str, what: str, queue: str) -> Diagnosis:
    """A run that waits for nobody."""
    return Diagnosis(
        "run_stranded",
        "error",
        f"run {run_id!r}: {what} wait for a {queue} worker, and none lives",
        START.format(queue),
    )
