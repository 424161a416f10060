"""Runs one job: claim it in the ledger, generate its trajectory, then finish or release it.

The file is long because each way in which a delivery can end is decided here.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module

from config import logs
from config.errors import (
    UNREADABLE_RUN,
    FailureKind,
    NewerRecordError,
    StoppedError,
    StoreError,
    StoreUnavailableError,
    UsageError,
)
from config.journal import Journal
from config.ledger import Ledger, RunView
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import UNREADABLE, Claim, Finished
from config.records import Failure, Prompt, Trajectory
from config.settings import Settings
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet.journals import store
from worker.fleet.leases import Lease, Leases
from worker.fleet.newer_runs import NewerRuns
from worker.fleet.outcome import Fate, Outcome
from worker.fleet.owner_refusal import OwnerRefusal
from worker.fleet.postponed import Postponed
from worker.fleet.redis_outage import retry_while_unavailable
from worker.fleet.retry import RELEASED, TRANSIENT, retry_delay
from worker.fleet.wrong_model import WrongModel
from worker.tools.open_workspaces import OpenWorkspaces
from worker.tools.workspace import require_allowed

log = logs.get(__name__)

REFUSALS = {"terminal": "already finished", "held": "another worker runs it", "unknown": "not in its run"}
"""the ledger's words for a claim that it refuses -> what Flower shows; others are clear as they are"""
STALE = {"already": "already finished", "stale": "another worker has taken it over", "unknown": "its run was cancelled"}
"""the ledger's words for a trajectory that it does not store -> what Flower shows"""


def outcome(trajectory: Trajectory, stored: Finished) -> Outcome:
    """What became of a delivery whose trajectory was offered to the ledger."""
    if stored in STALE:
        return Outcome(Fate.DROPPED, STALE[stored])
    if trajectory.failure:
        return Outcome(Fate.FAILED, trajectory.failure.kind.value)
    return Outcome(Fate.DONE, "cut at max_tokens" if trajectory.truncated else "")


@dataclass
class JobRunner:
    """Runs the jobs that Celery delivers to this worker."""

    ledger: Ledger
    leases: Leases
    settings: Settings
    worker: str
    limiter: ConcurrencyLimiter
    supervisor: EndpointSupervisor | None = None
    requeue: Callable[[str, str, float], None] | None = None
    """queues a job (run_id, job_id) again after a delay in seconds; without it the reconciler does, a little later"""
    workspaces: OpenWorkspaces = field(default_factory=OpenWorkspaces)
    journal: Journal | None = None
    """this worker's journal on its disk"""
    newer: NewerRuns = field(default_factory=NewerRuns)
    _runs: dict[str, RunView] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._wrong_model = WrongModel(self.ledger, self.leases.lease_seconds)
        self._owner = OwnerRefusal(self.ledger, self.settings.policy, self.leases.lease_seconds, require_allowed)
        self._postponed = Postponed(self.requeue)

    def preload(self) -> None:
        """Import pydantic-ai, which takes a second, in a thread: not during the first job."""
        threading.Thread(target=lambda: import_module("worker.generate.job"), name="preload", daemon=True).start()

    def run(self, run_id: str, job_id: str) -> Outcome:
        """Run one job, unless it is finished or leased by another worker; returns what became of this delivery."""
        if reason := self.supervisor.paused if self.supervisor else "":
            return self._dropped(run_id, job_id, reason)  # delivered before the consumer stopped; it is still pending
        if left := self.newer.left(run_id, job_id):
            return left
        try:
            run = retry_while_unavailable(lambda: self._run_view(run_id))
        except NewerRecordError as error:
            return self.newer.leave(run_id, error, job_id)
        except UsageError:
            return self._dropped(run_id, job_id, "there is no such run")
        except UNREADABLE_RUN as error:  # the reconciler sets the run aside
            return self._dropped(run_id, job_id, f"its run cannot be read: {type(error).__name__}")
        if reason := self._owner.left_to_others(run, job_id, worker=self.worker):
            return self._postpone(run_id, job_id, reason)
        unserved = ""
        if (refusal := self._refusal(run)) and not (unserved := self._refuse(run_id, refusal)):
            if control := retry_while_unavailable(lambda: self.ledger.controls.of(run_id)):
                return self._dropped(run_id, job_id, control.value)  # `resume` queues it again
            return self._postpone(run_id, job_id, refusal)
        claim = self._claim(run, job_id)
        if isinstance(claim, str):
            return self._dropped(run_id, job_id, claim)

        def release(why: str) -> bool:
            return self.ledger.jobs.release(claim, why=why, consume_attempt=False)

        with self.leases.hold(LeaseRef(run_id, job_id, claim.token), release) as lease:
            began = time.monotonic()
            trajectory: Trajectory | None
            with self._track_request(run):
                if unserved:
                    trajectory = self._failed(run, claim, FailureKind.WRONG_MODEL, unserved)
                else:
                    try:
                        trajectory = self._generate(run, claim, lease)
                    except NewerRecordError as error:
                        lease.closing.set()
                        retry_while_unavailable(lambda: release("its worker runs an older applejack"))
                        return self.newer.leave(run_id, error, job_id)
            if trajectory is None or (trajectory.failure and lease.run_cancelled.is_set()):
                return self._dropped(run_id, job_id, "cancelled in flight")
            if (
                trajectory.failure
                and not unserved
                and self._release_for_retry(run, claim, lease, trajectory.failure, began)
            ):
                return Outcome(Fate.RETRY, f"{trajectory.failure.kind.value}: {trajectory.failure.message}")
            if self.supervisor and not trajectory.failure and run.spec.teacher != "scripted":
                self.supervisor.circuit_breaker.record_success()
                self.supervisor.refused.remove(run.spec.model)
            lease.closing.set()
            stored = store(self.ledger, self.journal, run, trajectory, worker=self.worker, token=claim.token)
        log.info(
            "job.finished",
            run_id=run_id,
            job_id=job_id,
            outcome=trajectory.outcome,
            failure=trajectory.failure.kind.value if trajectory.failure else None,
            truncated=trajectory.truncated,
            calls=len(trajectory.tool_calls),
            seconds=round(trajectory.seconds, 2),
            stored=stored,
        )
        return outcome(trajectory, stored)

    def _claim(self, run: RunView, job_id: str) -> Claim | str:
        """The job's claim, or why there is none."""
        lease, limit = self.leases.lease_seconds, run.spec.delivery_limit
        begin = partial(self.ledger.jobs.begin, run.spec.run_id, job_id, worker=self.worker)
        try:
            return retry_while_unavailable(lambda: begin(lease_seconds=lease, delivery_limit=limit))
        except UNREADABLE_RUN as error:
            return f"its run cannot be read: {type(error).__name__}"

    def _dropped(self, run_id: str, job_id: str, because: str) -> Outcome:
        log.info("job.dropped", run_id=run_id, job_id=job_id, because=because)
        return Outcome(Fate.DROPPED, REFUSALS.get(because, because))

    def _postpone(self, run_id: str, job_id: str, because: str) -> Outcome:
        """Offer a job again to any worker, a little later."""
        dropped = self._dropped(run_id, job_id, because)
        return Outcome(Fate.RETRY, because) if self._postponed.add(run_id, job_id) else dropped

    def _refusal(self, run: RunView) -> str:
        """Why this worker's endpoint does not serve the run's model; "" if it does, as far as is known."""
        if self.supervisor is None or run.spec.teacher == "scripted":
            return ""
        return self.supervisor.refusal(run.spec.model)

    def _refuse(self, run_id: str, reason: str) -> str:
        """Record the refusal for the fleet; returns why no worker serves the run's model, "" if one may."""
        return retry_while_unavailable(lambda: self._wrong_model.refuse(run_id, worker=self.worker, reason=reason))

    def _run_view(self, run_id: str) -> RunView:
        """The run, cached: generation reads only its spec, of which `resubmit` changes only the student."""
        with self._lock:
            if run_id not in self._runs:
                self._runs[run_id] = self.ledger.run(run_id)
            return self._runs[run_id]

    def _track_request(self, run: RunView) -> AbstractContextManager[None]:
        """Let the supervisor know that a job uses the endpoint."""
        if self.supervisor is None or run.spec.teacher == "scripted":
            return nullcontext()
        return self.supervisor.track_request(run.spec.model)

    def _failed(self, run: RunView, claim: Claim, kind: FailureKind, message: str) -> Trajectory:
        prompt = self._prompt(claim) or Prompt(prompt=UNREADABLE)
        failure = Failure(kind=kind, message=message)
        return Trajectory.failed(
            run.spec, prompt, failure, run_id=claim.run_id, job_id=claim.job_id, attempt=claim.attempt
        )

    def _prompt(self, claim: Claim) -> Prompt | None:
        """The job's prompt; None if it cannot be read."""
        try:
            return retry_while_unavailable(lambda: self.ledger.jobs.prompt(claim.run_id, claim.job_id))
        except (StoreUnavailableError, NewerRecordError):
            raise
        except (StoreError, ValueError):
            log.exception("prompt.unreadable", run_id=claim.run_id, job_id=claim.job_id)
            return None

    def _generate(self, run: RunView, claim: Claim, lease: Lease) -> Trajectory | None:
        """The job's trajectory; None if its run was cancelled first."""
        cancelled = lease.run_cancelled.is_set
        if claim.exhausted:
            lost = [event.worker for event in claim.history if event.event == "lost"]
            return self._failed(
                run, claim, FailureKind.WORKER_LOST, f"{len(lost)} workers died on it: {', '.join(lost)}"
            )
        prompt = self._prompt(claim)
        if prompt is None:
            return self._failed(run, claim, FailureKind.INTERNAL, "its prompt in the ledger cannot be read")
        from worker.generate.job import run_job  # pydantic-ai takes a second and 60 MB to import: only where it is used

        try:
            endpoint = self.supervisor.endpoint if self.supervisor else self.settings.endpoint
            settings = self.settings.model_copy(update={"endpoint": endpoint})
            served = self.supervisor.served.local if self.supervisor and self.supervisor.served else None
            observer = self.limiter.job(run.spec.limits.seconds, cancelled=cancelled)
            # only ledger reads before the rollout can raise StoreUnavailableError, so a retry repeats no model request
            return retry_while_unavailable(
                lambda: run_job(
                    run.spec,
                    prompt,
                    claim,
                    self.ledger,
                    settings,
                    self.worker,
                    opened=self.workspaces,
                    watch=observer,
                    served=served,
                    cancelled=cancelled,
                )
            )
        except StoppedError:
            return None
        except Exception as error:  # a header task that raises aborts its chord, so every error becomes a record
            log.exception("job.internal", run_id=claim.run_id, job_id=claim.job_id)
            return self._failed(run, claim, FailureKind.INTERNAL, f"{type(error).__name__}: {error}")

    def _release_for_retry(self, run: RunView, claim: Claim, lease: Lease, failure: Failure, began: float) -> bool:
        """Release the job for another attempt; False when its failure is final.

        Endpoint outages do not count against its delivery limit, unless the worker's own model server died while the
        job ran; other transient failures do. A timeout is final unless
        the server was found degraded while the job ran.
        """
        if self.supervisor is None or run.spec.teacher == "scripted" or failure.kind not in RELEASED:
            return False
        outage = self.supervisor.confirm_outage(failure, model=run.spec.model)
        transient = outage or failure.kind in TRANSIENT or self.limiter.degraded_since(began)
        counts = not outage or self.supervisor.server_died_since(began)
        if counts and (not transient or claim.deliveries >= run.spec.delivery_limit):
            return False
        why = f"{failure.kind.value}: {failure.message}"
        lease.closing.set()
        if not retry_while_unavailable(lambda: self.ledger.jobs.release(claim, why=why, consume_attempt=counts)):
            return True  # another worker has taken it over
        log.info("job.released", run_id=claim.run_id, job_id=claim.job_id, why=why, consume_attempt=counts)
        if refusal := self._refusal(run):
            unserved = self._refuse(claim.run_id, refusal)
            self._postponed.add(claim.run_id, claim.job_id, 0.0 if unserved else None)
        elif self.requeue:
            self.requeue(claim.run_id, claim.job_id, retry_delay(claim.deliveries) if counts else 0.0)
        return True
