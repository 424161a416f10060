"""One job's rollout: its workspace opened and held to the run's pin, its teacher chosen."""

from dataclasses import dataclass

from config.errors import WorkspaceError
from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.records import DEFAULT_MODEL, Failure, Pin, Prompt, Spec, Trajectory
from config.settings import Settings
from worker.concurrency.observer import RequestObserver, no_observer
from worker.generate.agent import Teacher, endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.generate.scripted_teacher import scripted_teacher
from worker.tools.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Workspaces:
    """The code a run reads, the same on every machine."""

    ledger: Ledger
    settings: Settings
    spec: Spec

    def of(self, prompt: Prompt) -> Workspace | None:
        """The workspace of a prompt, None when neither it nor the run names one; WorkspaceError."""
        named = prompt.workspace or self.spec.workspace
        if named is None:
            return None
        known = self.ledger.pinned(self.spec.run_id, named)  # HEAD may have moved since the run's first job
        workspace = open_workspace(named, cache=self.settings.cache, expect=known)
        pinned = known or self.ledger.pin(self.spec.run_id, named, workspace.pin)
        if content(pinned) != content(workspace.pin):
            raise WorkspaceError(
                f"{named!r} holds other code here ({content(workspace.pin)}) than the run's ({content(pinned)}); "
                "bring this machine's copy to the same state, or name the workspace by a git commit"
            )
        return workspace


def content(pin: Pin) -> str:
    """What a workspace holds, as a commit or digest."""
    return pin.commit or pin.digest or "unknown"


def teacher_of(spec: Spec, settings: Settings, watch: RequestObserver = no_observer) -> Teacher:
    """The run's teacher: the endpoint of this machine, or the scripted teacher where the run asks for it by name."""
    if spec.teacher == "scripted":
        return scripted_teacher()
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    return endpoint_teacher(
        settings.endpoint,
        model=DEFAULT_MODEL if spec.model == settings.serve else spec.model,  # what --model loaded goes by this name
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
    """The trajectory of one claimed job; a bad rollout or a missing workspace is an outcome, not an exception."""
    try:
        workspace = Workspaces(ledger, settings, spec).of(prompt)
    except WorkspaceError as error:
        return Trajectory.failed(
            spec,
            prompt,
            Failure.of(error.kind, str(error)),
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
