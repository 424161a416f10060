"""What the tasks do: gather a step's inputs from the ledger, call its stage, store what came of it."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from config import logs
from config.errors import ApplejackError, FailureKind, StoreUnavailableError, UsageError
from config.ledger import Ledger, RunView
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import Claim
from config.ledger.stages import StageClaim, stage_member
from config.records import Failure, JsonObject, Trajectory
from config.settings import Settings
from config.topology import Stage
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.endpoint.supervisor import ENDPOINT_FAILURES, EndpointSupervisor
from worker.fleet.leases import Lease, Leases
from worker.fleet.retry import retry_while_unavailable
from worker.stage_runner import StageContext, curate_run, evaluate_run, train_run

log = logs.get(__name__)

LONGEST_WAIT = 30.0  # seconds before another try of a job whose endpoint stumbled; under any visibility timeout
RETRIED = ENDPOINT_FAILURES | {FailureKind.WORKSPACE_UNAVAILABLE}  # another machine, or a later minute, may do better
RELEASED = RETRIED | {FailureKind.TIMEOUT}  # a timeout only where the endpoint is to blame

StageWork = Callable[[StageContext], JsonObject]


@dataclass
class JobRunner:
    """One worker's hands: its ledger, its leases, its settings, its name."""

    ledger: Ledger
    leases: Leases
    settings: Settings
    worker: str
    limiter: ConcurrencyLimiter
    supervisor: EndpointSupervisor | None = None
    requeue: Callable[[str, str, float], None] | None = None
    """queue a job (run_id, job_id) again, to be taken after some seconds; without it the reconciler does"""
    _runs: dict[str, RunView] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def generate(self, run_id: str, job_id: str) -> str:
        """Run one job, unless it is finished or another worker has it; always answers its id."""
        if (
            self.supervisor and self.supervisor.circuit_breaker.reason
        ):  # it was in hand when the gate closed; the ledger still owes it
            log.info("job.dropped", run_id=run_id, job_id=job_id, because=self.supervisor.circuit_breaker.reason)
            return job_id
        try:
            run = retry_while_unavailable(lambda: self.run(run_id))
        except UsageError:
            log.warning("job.dropped", run_id=run_id, job_id=job_id, because="there is no such run")
            return job_id
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
            log.info("job.dropped", run_id=run_id, job_id=job_id, because=claim)
            return job_id

        def release(why: str) -> bool:
            return self.ledger.jobs.release(claim, why=why, consume_attempt=False)

        with self.leases.hold(LeaseRef(run_id, job_id, claim.token), release):
            began = time.monotonic()
            with self._track_request(run):
                trajectory = self._generate(run, claim)
            if trajectory.failure and self._release_for_retry(run, claim, trajectory.failure, began):
                return job_id
            if self.supervisor and not trajectory.failure and run.spec.teacher != "scripted":
                self.supervisor.record_success()
            finished = retry_while_unavailable(
                lambda: self.ledger.jobs.finish(trajectory, worker=self.worker, token=claim.token)
            )
        log.info(
            "job.finished",
            run_id=run_id,
            job_id=job_id,
            outcome=trajectory.outcome,
            failure=trajectory.failure.kind.value if trajectory.failure else None,
            calls=len(trajectory.tool_calls),
            seconds=round(trajectory.seconds, 2),
            stored=finished,
        )
        return job_id

    def curate(self, run_id: str) -> str:
        """Curate a run whose jobs are all terminal."""
        return self._stage(run_id, Stage.CURATE, curate_run)

    def train(self, run_id: str) -> str:
        """Train the run's student on its dataset."""
        return self._stage(run_id, Stage.TRAIN, train_run)

    def evaluate(self, run_id: str) -> str:
        """Ask base and adapter the held-out prompts."""
        return self._stage(run_id, Stage.EVALUATE, evaluate_run)

    def run(self, run_id: str) -> RunView:
        """The run as asked for, read once: its spec never changes. Its version does, so stages read it anew."""
        with self._lock:
            if run_id not in self._runs:
                self._runs[run_id] = self.ledger.run(run_id)
            return self._runs[run_id]

    def run_folder(self, run_id: str) -> Path:
        """Where this machine keeps the run's files."""
        folder = (self.settings.runs / run_id).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _track_request(self, run: RunView) -> AbstractContextManager[None]:
        """So that the keeper watches the endpoint while a job waits for it."""
        if self.supervisor is None or run.spec.teacher == "scripted":
            return nullcontext()
        return self.supervisor.track_request(run.spec.model)

    def _generate(self, run: RunView, claim: Claim) -> Trajectory:
        prompt = retry_while_unavailable(lambda: self.ledger.jobs.prompt(claim.run_id, claim.job_id))
        if claim.exhausted:
            lost = [event.worker for event in claim.history if event.event == "lost"]
            told = f"{len(lost)} workers died on it: {', '.join(lost)}"
            return Trajectory.failed(
                run.spec,
                prompt,
                Failure.of(FailureKind.WORKER_LOST, told),
                run_id=claim.run_id,
                job_id=claim.job_id,
                attempt=claim.attempt,
            )
        from worker.generate.job import run_job  # pydantic-ai takes a second to import and 60 MB: only where it is used

        try:
            endpoint = self.supervisor.endpoint if self.supervisor else self.settings.endpoint
            settings = self.settings.model_copy(update={"endpoint": endpoint})
            # the ledger is asked before the rollout begins, so that asking again repeats no model request
            watch = self.limiter.job(run.spec.limits.seconds)
            return retry_while_unavailable(
                lambda: run_job(run.spec, prompt, claim, self.ledger, settings, self.worker, watch=watch)
            )
        except Exception as error:  # a header task that raises aborts its chord: whatever it was becomes data
            log.exception("job.internal", run_id=claim.run_id, job_id=claim.job_id)
            told = f"{type(error).__name__}: {error}"
            return Trajectory.failed(
                run.spec,
                prompt,
                Failure.of(FailureKind.INTERNAL, told),
                run_id=claim.run_id,
                job_id=claim.job_id,
                attempt=claim.attempt,
            )

    def _release_for_retry(self, run: RunView, claim: Claim, failure: Failure, began: float) -> bool:
        """Whether this job is someone else's now: for the endpoint's trouble at no cost, for passing ones as a try.

        A job whose time is over has itself to blame, unless its server was found slower or in trouble meanwhile.
        """
        if self.supervisor is None or run.spec.teacher == "scripted" or failure.kind not in RELEASED:
            return False
        down = self.supervisor.confirm_outage(failure, model=run.spec.model)
        passes = failure.kind in RETRIED or self.limiter.degraded_since(began)
        if not down and (not passes or claim.deliveries >= run.spec.delivery_limit):
            return False
        why = f"{failure.kind.value}: {failure.message}"
        if not retry_while_unavailable(lambda: self.ledger.jobs.release(claim, why=why, consume_attempt=not down)):
            return True  # another worker has it already
        wait = min(LONGEST_WAIT, 2.0**claim.deliveries) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads tries, no secret
        log.info("job.released", run_id=claim.run_id, job_id=claim.job_id, why=why, consume_attempt=not down)
        if self.requeue:
            self.requeue(claim.run_id, claim.job_id, 0.0 if down else wait)
        return True

    def _stage(self, run_id: str, stage: Stage, work: StageWork) -> str:
        claim = retry_while_unavailable(
            lambda: self.ledger.stages.begin(run_id, stage, worker=self.worker, lease_seconds=self.leases.lease_seconds)
        )
        if isinstance(claim, str):
            log.info("stage.dropped", run_id=run_id, stage=stage.value, because=claim)
            return run_id

        def release(why: str) -> bool:
            return self.ledger.stages.release(claim, why=why)

        with self.leases.hold(LeaseRef(run_id, stage_member(stage), claim.token), release) as lease:
            result, error = retry_while_unavailable(lambda: self._attempt(claim, work, lease))
            if error and lease.ending.is_set():
                retry_while_unavailable(lambda: release("its worker shuts down"))
                return run_id
            ended = retry_while_unavailable(lambda: self.ledger.stages.finish(claim, result=result, error=error))
        log.info("stage.finished", run_id=run_id, stage=stage.value, error=error or None, ended=ended)
        return run_id

    def _attempt(self, claim: StageClaim, work: StageWork, lease: Lease) -> tuple[JsonObject, str]:
        if claim.exhausted:
            return {}, "its workers died on it again and again; see their logs, then resubmit"
        log.info("stage.started", run_id=claim.run_id, stage=claim.stage.value)
        try:
            run = self.ledger.run(claim.run_id)
            context = StageContext(self.ledger, self.settings, self.worker, run, self.run_folder(claim.run_id), lease)
            return work(context), ""
        except StoreUnavailableError:
            raise  # an outage is no fault of the stage: it is done again when the ledger is back
        except ApplejackError as error:
            return {}, " ".join(str(error).split())
        except Exception as error:  # the run must say that it failed, whatever the fault was
            log.exception("stage.internal", run_id=claim.run_id, stage=claim.stage.value)
            return {}, f"internal: {type(error).__name__}: {error}"
