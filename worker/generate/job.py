"""Opens a job's workspace at the run's pin, chooses the teacher, and runs the rollout."""

from dataclasses import dataclass

from config.errors import WorkspaceError
from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.records import DEFAULT_MODEL, Failure, Pin, Prompt, Spec, Trajectory
from config.settings import Settings
from worker.concurrency.observer import RequestObserver, no_observer
from worker.endpoint.refused_models import is_served
from worker.generate.agent import Teacher, endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.generate.scripted_teacher import scripted_teacher
from worker.tools.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Workspaces:
    """Opens the workspaces of a run, at the same commit or digest on every machine."""

    ledger: Ledger
    settings: Settings
    spec: Spec

    def of(self, prompt: Prompt) -> Workspace | None:
        """The workspace of a prompt; None if neither the prompt nor the run names one. Raises WorkspaceError."""
        named = prompt.workspace or self.spec.workspace
        if named is None:
            return None
        known = self.ledger.pinned(self.spec.run_id, named)  # HEAD may have moved since the run's first job
        workspace = open_workspace(named, cache=self.settings.cache, expect=known)
        pinned = known or self.ledger.pin(self.spec.run_id, named, workspace.pin)
        if content(pinned) != content(workspace.pin):
            raise WorkspaceError(
                f"{named!r} has different code here ({content(workspace.pin)}) than the run's ({content(pinned)}); "
                "bring this machine's copy to the same state, or name the workspace by a git commit"
            )
        return workspace


def content(pin: Pin) -> str:
    """The commit or digest of a workspace."""
    return pin.commit or pin.digest or "unknown"


def teacher_of(spec: Spec, settings: Settings, watch: RequestObserver = no_observer) -> Teacher:
    """The run's teacher: the endpoint of this machine, or the scripted teacher if the spec names it."""
    if spec.teacher == "scripted":
        return scripted_teacher()
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    # mlx_lm serves the model that it loaded with --model under the name DEFAULT_MODEL
    return endpoint_teacher(
        settings.endpoint,
        model=DEFAULT_MODEL if settings.loaded_model and is_served(settings.loaded_model, spec.model) else spec.model,
        api_key=key,
        sampling=spec.sampling,
        request_seconds=spec.limits.request_seconds,
        watch=watch,
    )


def run_job(
    spec: Spec,
    prompt: Prompt,
    claim: Claim,
    ledger: Ledger,
    settings: Settings,
    worker: str,
    *,
    watch: RequestObserver = no_observer,
) -> Trajectory:
    """The trajectory of one claimed job. A failed rollout or a missing workspace is an outcome, not an exception."""
    try:
        workspace = Workspaces(ledger, settings, spec).of(prompt)
    except WorkspaceError as error:
        return Trajectory.failed(
            spec,
            prompt,
            Failure(kind=error.kind, message=str(error)),
            run_id=claim.run_id,
            job_id=claim.job_id,
            attempt=claim.attempt,
        )
    return run_rollout(
        prompt,
        spec=spec,
        job_id=claim.job_id,
        attempt=claim.attempt,
        workspace=workspace,
        teacher=teacher_of(spec, settings, watch),
        worker=worker,
    )
