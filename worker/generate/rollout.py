"""One job's rollout: a prompt, a teacher and tools over a pinned workspace in, a trajectory out, whatever happens."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from config.errors import FailureKind, GenerationError, RolloutError, WorkspaceError
from config.records import Failure, JsonObject, Pin, Prompt, Provenance, Spec, Trajectory
from config.version import version
from worker.generate.agent import Conversation, Teacher, converse
from worker.tools import toolset
from worker.tools.workspace import Workspace


def run_rollout(
    prompt: Prompt,
    *,
    spec: Spec,
    job_id: str,
    attempt: int,
    workspace: Workspace | None,
    teacher: Teacher,
    worker: str,
) -> Trajectory:
    """The trajectory of one attempt; a bad rollout is one with outcome "failed", never an exception.

    It runs an event loop of its own in the calling thread, so any number of threads can roll out at once.
    Tools run in that thread too; each bounds itself to 20 s at most, by which a job can exceed its wall time.
    Without a workspace no tools are offered.
    """
    started = time.monotonic()
    schemas: tuple[JsonObject, ...] = ()
    conversation = Conversation()
    try:
        names = toolset.offered(spec.tools, spec.allow_commands) if workspace else ()
        schemas = toolset.schemas(names)
        conversation = asyncio.run(
            converse(
                prompt.prompt,
                system_prompt=spec.system_prompt,
                teacher=teacher,
                limits=spec.limits,
                schemas=schemas,
                tools=_tools(workspace, names, spec.allow_commands),
            )
        )
    except Exception as raised:  # noqa: BLE001 - a header task never raises for a bad rollout
        conversation = Conversation(error=_named(raised))
    return Trajectory(
        run_id=spec.run_id,
        job_id=job_id,
        attempt=attempt,
        **prompt.model_dump(exclude={"workspace"}),  # where it was asked is told by the provenance, as pinned
        system_prompt=spec.system_prompt,
        tools=schemas,
        messages=conversation.messages,
        outcome="failed" if conversation.error else "completed",
        failure=Failure.of(conversation.error.kind, str(conversation.error)) if conversation.error else None,
        usage=conversation.usage,
        finish_reasons=conversation.finish_reasons,
        seconds=round(time.monotonic() - started, 3),
        provenance=provenance(teacher, worker, schemas, workspace.pin if workspace else None),
    )


def provenance(teacher: Teacher, worker: str, schemas: tuple[JsonObject, ...], pin: Pin | None) -> Provenance:
    """Who made a trajectory, with what, where and over which code."""
    return Provenance(
        teacher=teacher.name,
        endpoint=teacher.endpoint,
        sampling=teacher.sampling,
        worker=worker,
        applejack_version=version(),
        toolset_digest=toolset.digest(schemas),
        workspace=pin,
    )


def _tools(
    workspace: Workspace | None, names: Sequence[str], allow_commands: Sequence[str]
) -> Mapping[str, toolset.ToolFunction]:
    if workspace is None:
        return {}
    if not workspace.root.is_dir():
        raise WorkspaceError(f"the workspace {str(workspace.root)!r} has vanished; open it again")
    return toolset.build(workspace, names=names, allow_commands=allow_commands)


def _named(raised: Exception) -> GenerationError:
    if isinstance(raised, GenerationError):
        return raised
    return RolloutError(f"{type(raised).__name__}: {raised}", kind=FailureKind.INTERNAL)
