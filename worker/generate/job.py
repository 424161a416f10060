"""Opens a job's workspace at the run's pin, chooses the teacher, and runs the rollout."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from config.errors import WorkspaceError
from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.model_names import is_served
from config.records import DEFAULT_MODEL, Failure, Prompt, Spec, Trajectory
from config.settings import Settings
from worker.concurrency.observer import RequestObserver, no_observer
from worker.generate.agent import Teacher, endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.generate.scripted_teacher import scripted_teacher
from worker.models.resolve import LocalModel
from worker.tools.open_workspaces import OpenWorkspaces
from worker.tools.workspace import Workspace


@dataclass(frozen=True)
class Workspaces:
    """Opens the workspaces of a run, at the same commit or digest on every machine."""

    ledger: Ledger
    settings: Settings
    spec: Spec
    opened: OpenWorkspaces = field(default_factory=OpenWorkspaces)

    def of(self, prompt: Prompt) -> Workspace | None:
        """The workspace of a prompt; None if neither the prompt nor the run names one. Raises WorkspaceError.

        Without a workspace no tools are offered, so that a run's programs are not started either.
        """
        named = prompt.workspace or self.spec.workspace
        if named is None:
            return None
        self.settings.policy.require_commands(self.spec.allow_commands)
        return self._found(named) or self._open(named)

    def _found(self, named: str) -> Workspace | None:
        known = self.ledger.pinned(self.spec.run_id, named)  # HEAD may have moved since the run's first job
        return self.opened.find(named, known) if known else None

    def _open(self, named: str) -> Workspace:
        with self.opened.opening(named):
            if found := self._found(named):  # another job has opened it meanwhile
                return found
            known = self.ledger.pinned(self.spec.run_id, named)
            workspace = self.opened.open(named, cache=self.settings.cache, expect=known, policy=self.settings.policy)
            pinned = known or self.ledger.pin(self.spec.run_id, named, workspace.pin)
        if pinned.content != workspace.pin.content:
            raise WorkspaceError(
                f"{named!r} has different code here ({workspace.pin.content}) than the run's ({pinned.content}); "
                "bring this machine's copy to the same state, or name the workspace by a git commit"
            )
        return workspace


def teacher_of(
    spec: Spec, settings: Settings, watch: RequestObserver = no_observer, *, served: LocalModel | None = None
) -> Teacher:
    """The run's teacher: the endpoint of this machine, or the scripted teacher if the spec names it.

    `served` is the model that this worker serves itself; if it came from the hub, the teacher has its id and revision.
    """
    if spec.teacher == "scripted":
        return scripted_teacher()
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key else None
    # mlx_lm serves the model that it loaded with --model under the name DEFAULT_MODEL
    model = DEFAULT_MODEL if is_served(settings.loaded_model, spec.model) else spec.model
    teacher = endpoint_teacher(
        settings.endpoint,
        model=model,
        api_key=key,
        sampling=spec.sampling,
        request_seconds=spec.limits.request_seconds,
        watch=watch,
    )
    if model == DEFAULT_MODEL and served and served.revision:
        return replace(teacher, name=served.model, revision=served.revision)
    return teacher


def run_job(
    spec: Spec,
    prompt: Prompt,
    claim: Claim,
    ledger: Ledger,
    settings: Settings,
    worker: str,
    *,
    opened: OpenWorkspaces,
    watch: RequestObserver = no_observer,
    served: LocalModel | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Trajectory:
    """The trajectory of one claimed job. A failed rollout or a missing workspace is an outcome, not an exception.

    Raises StoppedError if `cancelled` turns true before the conversation is complete.
    """
    try:
        workspace = Workspaces(ledger, settings, spec, opened).of(prompt)
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
        teacher=teacher_of(spec, settings, watch, served=served),
        worker=worker,
        cancelled=cancelled,
    )
