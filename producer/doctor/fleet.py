"""Health checks of the fleet: pending work without workers, silent and paused workers, messages that stop a worker."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import redis

from config.diagnostics import Check, Diagnosis
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.ledger.store import redis_errors
from config.owner_policy import Policy
from config.records import JobState, StageState, WorkerControl
from config.topology import QUEUE_GENERATE, QUEUES, ROUTES, Stage

START = "start one: `applejack worker {}`"
LOOKED_AT = 20  # messages of each queue: those that the workers receive next


@dataclass(frozen=True)
class FleetDoctor:
    """The workers and queues of one Redis. `client` reads queue lengths, which are not in the ledger."""

    ledger: Ledger
    client: redis.Redis
    silence: float
    """seconds without a heartbeat after which a worker is presumed dead"""

    def checks(self) -> list[Check]:
        """All checks of the fleet."""
        return [
            Check("queues have workers", self.queues),
            Check("workers send heartbeats", self.silent),
            Check("workers are not paused", self.paused),
            Check("runs have workers", self.stranded),
            Check("messages are readable", self.unreadable),
            Check("workers have the runs' models", self.refused),
            Check("workers may read the runs' code", self.not_allowed),
            Check("workers have a sandbox", self.sandboxes),
        ]

    def alive(self) -> list[WorkerView]:
        """Workers with a recent heartbeat."""
        return [view for view in self.ledger.fleet.workers() if view.silent_seconds <= self.silence]

    def consumed(self) -> set[str]:
        """Queues with at least one live consumer. A paused worker does not consume the generate queue.

        One that a person has paused or drained consumes nothing.
        """
        consumed: set[str] = set()
        for view in self.alive():
            if view.control is WorkerControl.GO:
                consumed |= queues_of(view) - ({QUEUE_GENERATE} if view.fields.get("paused") else set())
        return consumed

    def working_runs(self) -> list[str]:
        """Active runs that nobody has paused."""
        paused = set(self.ledger.controls.paused())
        return [run_id for run_id in self.ledger.fleet.active_runs() if run_id not in paused]

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
        for run_id in self.working_runs():
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
        """Live workers that consume no jobs, with the reason; `held` finds those that a person has paused."""
        for view in self.alive():
            if view.control is WorkerControl.GO and (reason := view.fields.get("paused")):
                yield Diagnosis(
                    "worker_paused",
                    "warning",
                    f"the worker {view.name!r} is paused: {reason}",
                    "fix the cause on its machine; the worker resumes by itself",
                )

    def unreadable(self) -> Iterator[Diagnosis]:
        """kombu raises on a message that is not JSON; a worker that does not set it aside ends."""
        for name in QUEUES:
            with redis_errors():
                messages = cast(list[bytes], self.client.lrange(name, -LOOKED_AT, -1))  # the next ones
            if bad := [message for message in messages if not is_message(message)]:
                yield Diagnosis(
                    "queue_garbage",
                    "warning",
                    f"the queue {name!r} holds something that is not a Celery message ({bad[0][:40]!r}): another "
                    "program writes to it",
                    f"remove it (`redis-cli LREM {name} 0 TEXT`), and use a database of Redis for applejack alone",
                )

    def refused(self) -> Iterator[Diagnosis]:
        """Runs whose model every live generate worker has refused: their jobs will fail as wrong_model."""
        workers = [view for view in self.alive() if QUEUE_GENERATE in queues_of(view)]
        for run_id in self.working_runs():
            spec = self.ledger.run(run_id).spec
            if spec.teacher != "endpoint" or not self.ledger.jobs.counts(run_id)[JobState.QUEUED]:
                continue
            reasons = [refusal(view, spec.model) for view in workers]
            if reasons and all(reasons):
                yield Diagnosis(
                    "model_refused",
                    "error",
                    f"the run {run_id!r} requests the model {spec.model!r}, which every generate worker's endpoint "
                    f"refuses: {reasons[0]}",
                    f"load that model; jobs that failed meanwhile: applejack resubmit {run_id} --kind wrong_model",
                )

    def not_allowed(self) -> Iterator[Diagnosis]:
        """Runs that the owners of all live generate workers refuse: their jobs will fail as workspace_refused."""
        workers = [view for view in self.alive() if QUEUE_GENERATE in queues_of(view)]
        for run_id in self.working_runs():
            spec = self.ledger.run(run_id).spec
            if spec.workspace is None or not self.ledger.jobs.counts(run_id)[JobState.QUEUED]:
                continue
            reasons = [
                Policy.of_heartbeat(view.fields).objection(spec.workspace, spec.allow_commands) for view in workers
            ]
            if reasons and all(reasons):
                yield Diagnosis(
                    "workspace_refused",
                    "error",
                    f"no generate worker may run {run_id!r} by its owner: {workers[0].name} allows {reasons[0]}",
                    "start a worker with --workspace-root DIR|URL or --allow-command NAME; jobs that failed meanwhile: "
                    f"applejack resubmit {run_id} --kind workspace_refused",
                )

    def sandboxes(self) -> Iterator[Diagnosis]:
        """Workers that may start programs of runs, and do so without a sandbox or cannot."""
        for view in self.alive():
            if view.fields.get("unsandboxed"):
                yield Diagnosis(
                    "worker_unsandboxed",
                    "warning",
                    f"the worker {view.name!r} runs the programs of runs without a sandbox",
                    "start it without --unsandboxed and APPLEJACK_UNSANDBOXED",
                )
            elif reason := view.fields.get("no_sandbox"):
                yield Diagnosis(
                    "worker_no_sandbox",
                    "warning",
                    f"the worker {view.name!r} can start no program of a run, because it has no sandbox: {reason}",
                    "run `applejack doctor` on its machine",
                )


def queues_of(view: WorkerView) -> set[str]:
    """The queues that a worker was started for."""
    queues = view.fields.get("queues")
    return {str(name) for name in queues} if isinstance(queues, list) else set()


def refusal(view: WorkerView, model: str) -> str:
    """Why a worker's endpoint refuses a model; "" if it does not."""
    refused = view.fields.get("refuses")
    return str(refused.get(model, "")) if isinstance(refused, dict) else ""


def is_message(content: bytes) -> bool:
    """Whether an entry of a queue is a message as Celery sends it."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:  # also what is not UTF-8
        return False


def stranded(run_id: str, what: str, queue: str) -> Diagnosis:
    """A finding: the run has pending work and no live worker for it."""
    return Diagnosis(
        "run_stranded",
        "error",
        f"run {run_id!r}: {what} pending, and no {queue} worker is alive",
        START.format(queue),
    )
