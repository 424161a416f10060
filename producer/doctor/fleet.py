"""Health checks of the fleet: pending work without workers; silent, paused or outdated workers; clock skew."""

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
    """The workers and queues of one Redis. `client` reads queue lengths, which are not in the ledger."""

    ledger: Ledger
    client: redis.Redis
    version: str
    """version of this installation"""
    silence: float
    """seconds without a heartbeat after which a worker is presumed dead"""

    def checks(self) -> list[Check]:
        """All checks of the fleet."""
        return [
            Check("queues have workers", self.queues),
            Check("workers send heartbeats", self.silent),
            Check("workers are not paused", self.paused),
            Check("workers run the same version", self.versions),
            Check("worker clocks", self.clocks),
            Check("runs have workers", self.stranded),
        ]

    def alive(self) -> list[WorkerView]:
        """Workers with a recent heartbeat."""
        return [view for view in self.ledger.fleet.workers() if view.silent_seconds <= self.silence]

    def consumed(self) -> set[str]:
        """Queues with at least one live consumer. A paused worker does not consume the generate queue."""
        consumed: set[str] = set()
        for view in self.alive():
            queues = view.fields.get("queues")
            names = {str(name) for name in queues} if isinstance(queues, list) else set()
            consumed |= names - ({QUEUE_GENERATE} if view.fields.get("paused") else set())
        return consumed

    def queues(self) -> Iterator[Diagnosis]:
        """Messages in a queue without a live consumer."""
        consumed = self.consumed()
        for name in QUEUES:
            with redis_errors():
                waiting = self.client.llen(name)
            if waiting and name not in consumed:
                yield Diagnosis(
                    "queue_unread",
                    "error",
                    f"{waiting} messages are waiting in the queue {name!r}, and no live worker consumes it",
                    START.format(name),
                )

    def stranded(self) -> Iterator[Diagnosis]:
        """Runs with pending work for a queue without a live consumer."""
        consumed = self.consumed()
        for run_id in self.ledger.fleet.active_runs():
            jobs = self.ledger.jobs.counts(run_id)[JobState.QUEUED]
            if jobs and QUEUE_GENERATE not in consumed:
                yield stranded(run_id, f"{jobs} jobs", QUEUE_GENERATE)
            for stage in Stage:
                queue = ROUTES[stage.value]["queue"]
                if self.ledger.stages.view(run_id, stage).state is StageState.READY and queue not in consumed:
                    yield stranded(run_id, f"stage {stage.value!r}", queue)

    def silent(self) -> Iterator[Diagnosis]:
        """Workers that stopped without signing off. They are removed from the list after a day."""
        for view in self.ledger.fleet.workers():
            if view.silent_seconds > self.silence:
                yield Diagnosis(
                    "worker_silent",
                    "warning",
                    f"the worker {view.name!r} has sent no heartbeat for {view.silent_seconds:.0f} s",
                    "check that machine: is it asleep, offline, or was the worker killed? Other workers run its jobs",
                )

    def paused(self) -> Iterator[Diagnosis]:
        """Live workers that consume no jobs, with the reason."""
        for view in self.alive():
            if reason := view.fields.get("paused"):
                yield Diagnosis(
                    "worker_paused",
                    "warning",
                    f"the worker {view.name!r} is paused: {reason}",
                    "fix the cause on its machine; the worker resumes by itself",
                )

    def versions(self) -> Iterator[Diagnosis]:
        """Workers that run another version of applejack."""
        for view in self.alive():
            version = view.fields.get("version")
            if version != self.version:
                yield Diagnosis(
                    "worker_version",
                    "warning",
                    f"the worker {view.name!r} runs applejack {version or '(unknown)'}, this machine {self.version}",
                    "install the same version on every machine before the next run",
                )

    def clocks(self) -> Iterator[Diagnosis]:
        """Compare each worker's clock, sent with its heartbeat, with the server's time of that heartbeat."""
        now = self.ledger.fleet.now()
        for view in self.alive():
            clock = view.fields.get("clock")
            if not isinstance(clock, int | float):
                continue
            ahead = clock - (now - view.silent_seconds)
            if abs(ahead) > SKEW_SECONDS:
                yield Diagnosis(
                    "clock_skew",
                    "error",
                    f"the clock of {view.name!r} is {off_by(ahead)} the Redis server's",
                    "turn on network time there; until then, that worker requeues messages of jobs that still run",
                )


def stranded(run_id: str, what: str, queue: str) -> Diagnosis:
    """A finding: the run has pending work and no live worker for it."""
    return Diagnosis(
        "run_stranded",
        "error",
        f"run {run_id!r}: {what} pending, and no {queue} worker is alive",
        START.format(queue),
    )
