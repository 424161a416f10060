"""Runs one job: claim it in the ledger, generate its trajectory, then finish or release it."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module

from config import logs
from config.errors import FailureKind, StoppedError, UsageError
from config.ledger import Ledger, RunView
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import Claim
from config.records import Failure, Trajectory
from config.settings import Settings
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet.leases import Lease, Leases
from worker.fleet.redis_outage import retry_while_unavailable
from worker.fleet.retry import RELEASED, TRANSIENT, refused_delay, retry_delay
from worker.fleet.wrong_model import WrongModel
from worker.tools.open_workspaces import OpenWorkspaces

log = logs.get(__name__)

MAX_POSTPONED = 10_000  # refused jobs remembered, 2 MB; above it, those that are due are forgotten


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
    _runs: dict[str, RunView] = field(default_factory=dict)
    _postponed: dict[tuple[str, str], float] = field(default_factory=dict)
    """(run_id, job_id) of refused jobs -> time.monotonic() of their next delivery"""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._wrong_model = WrongModel(self.ledger, self.leases.lease_seconds)

    def preload(self) -> None:
        """Import pydantic-ai, which takes a second, in a thread: not during the first job."""
        threading.Thread(target=lambda: import_module("worker.generate.job"), name="preload", daemon=True).start()

    def run(self, run_id: str, job_id: str) -> str:
        """Run one job, unless it is finished or leased by another worker; returns its id in every case."""
        if reason := self.supervisor.paused if self.supervisor else "":
            return self._dropped(run_id, job_id, reason)  # delivered before the consumer stopped; it is still pending
        try:
            run = retry_while_unavailable(lambda: self._run_view(run_id))
        except UsageError:
            return self._dropped(run_id, job_id, "there is no such run")
        unserved = ""
        if (refusal := self._refusal(run)) and not (unserved := self._refuse(run_id, refusal)):
            if control := retry_while_unavailable(lambda: self.ledger.controls.of(run_id)):
                return self._dropped(run_id, job_id, control.value)  # `resume` queues it again
            self._postpone(run_id, job_id)
            return self._dropped(run_id, job_id, refusal)
        claim = retry_while_unavailable(
            lambda: self.ledger.jobs.begin(
                run_id,
                job_id,
                worker=self.worker,
                lease_seconds=self.leases.lease_seconds,
                delivery_limit=run.spec.delivery_limit,
            )
        )
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
                    trajectory = self._generate(run, claim, lease)
            if trajectory is None or (trajectory.failure and lease.run_cancelled.is_set()):
                return self._dropped(run_id, job_id, "cancelled in flight")
            if (
                trajectory.failure
                and not unserved
                and self._release_for_retry(run, claim, lease, trajectory.failure, began)
            ):
                return job_id
            if self.supervisor and not trajectory.failure and run.spec.teacher != "scripted":
                self.supervisor.circuit_breaker.record_success()
                self.supervisor.refused.remove(run.spec.model)
            lease.closing.set()
            stored = retry_while_unavailable(
                lambda: self.ledger.jobs.finish(trajectory, worker=self.worker, token=claim.token)
            )
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
        return job_id

    def _dropped(self, run_id: str, job_id: str, because: str) -> str:
        log.info("job.dropped", run_id=run_id, job_id=job_id, because=because)
        return job_id

    def _postpone(self, run_id: str, job_id: str, seconds: float | None = None) -> None:
        """Queue a refused job again after a delay, once: a second message for it is dropped meanwhile."""
        now, delay = time.monotonic(), refused_delay() if seconds is None else seconds
        with self._lock:
            if self._postponed.get((run_id, job_id), now) > now:
                return
            if len(self._postponed) > MAX_POSTPONED:
                self._postponed = {job: until for job, until in self._postponed.items() if until > now}
            self._postponed[run_id, job_id] = now + delay
        if self.requeue:
            self.requeue(run_id, job_id, delay)

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
        prompt = retry_while_unavailable(lambda: self.ledger.jobs.prompt(claim.run_id, claim.job_id))
        failure = Failure(kind=kind, message=message)
        return Trajectory.failed(
            run.spec, prompt, failure, run_id=claim.run_id, job_id=claim.job_id, attempt=claim.attempt
        )

    def _generate(self, run: RunView, claim: Claim, lease: Lease) -> Trajectory | None:
        """The job's trajectory; None if its run was cancelled first."""
        cancelled = lease.run_cancelled.is_set
        if claim.exhausted:
            lost = [event.worker for event in claim.history if event.event == "lost"]
            return self._failed(
                run, claim, FailureKind.WORKER_LOST, f"{len(lost)} workers died on it: {', '.join(lost)}"
            )
        prompt = retry_while_unavailable(lambda: self.ledger.jobs.prompt(claim.run_id, claim.job_id))
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

        Endpoint outages do not count against its delivery limit; other transient failures do. A timeout is final unless
        the server was found degraded while the job ran.
        """
        if self.supervisor is None or run.spec.teacher == "scripted" or failure.kind not in RELEASED:
            return False
        outage = self.supervisor.confirm_outage(failure, model=run.spec.model)
        transient = failure.kind in TRANSIENT or self.limiter.degraded_since(began)
        if not outage and (not transient or claim.deliveries >= run.spec.delivery_limit):
            return False
        why = f"{failure.kind.value}: {failure.message}"
        lease.closing.set()
        if not retry_while_unavailable(lambda: self.ledger.jobs.release(claim, why=why, consume_attempt=not outage)):
            return True  # another worker has taken it over
        log.info("job.released", run_id=claim.run_id, job_id=claim.job_id, why=why, consume_attempt=not outage)
        if refusal := self._refusal(run):
            unserved = self._refuse(claim.run_id, refusal)
            self._postpone(claim.run_id, claim.job_id, 0.0 if unserved else None)
        elif self.requeue:
            self.requeue(claim.run_id, claim.job_id, 0.0 if outage else retry_delay(claim.deliveries))
        return True
