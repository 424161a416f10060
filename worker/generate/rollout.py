"""Run one job: let a teacher answer a prompt with tools over a pinned workspace, and always return a trajectory."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence

from config.errors import FailureKind, GenerationError, RolloutError, StoppedError, WorkspaceError
from config.records import Failure, JsonObject, Pin, Prompt, Provenance, Spec, Trajectory
from config.version import version
from worker.generate.agent import Conversation, Teacher, converse
from worker.tools import toolset
from worker.tools.workspace import Workspace

WATCH_SECONDS = 0.25  # between two looks at `cancelled`


def run_rollout(
    prompt: Prompt,
    *,
    spec: Spec,
    job_id: str,
    attempt: int,
    workspace: Workspace | None,
    teacher: Teacher,
    worker: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> Trajectory:
    """The trajectory of one attempt. A failed rollout has the outcome "failed"; it raises nothing.

    Raises StoppedError soon after `cancelled` turns true, at the latest when the tool that runs then has ended, unless
    the conversation was complete already.

    Each call runs its own event loop in the calling thread, so any number of threads can run rollouts at once.
    Tools run in the same thread. Each tool stops after at most 20 s, by which a job can exceed its wall time.
    Without a workspace no tools are offered.
    """
    started = time.monotonic()
    schemas: tuple[JsonObject, ...] = ()
    conversation = Conversation()
    try:
        names = toolset.offered(spec.tools, spec.allow_commands) if workspace else ()
        schemas = toolset.schemas(names)
        conversation = asyncio.run(
            _unless_cancelled(
                converse(
                    prompt.prompt,
                    system_prompt=spec.system_prompt,
                    teacher=teacher,
                    limits=spec.limits,
                    schemas=schemas,
                    tools=_tools(workspace, names, spec),
                ),
                cancelled,
            )
        )
    except StoppedError:
        raise
    except Exception as raised:  # noqa: BLE001 - a chord's header task must not raise for a failed rollout
        conversation = Conversation(error=_generation_error(raised))
    return Trajectory(
        run_id=spec.run_id,
        job_id=job_id,
        attempt=attempt,
        **prompt.model_dump(exclude={"workspace"}),  # the provenance has the pinned workspace
        system_prompt=spec.system_prompt,
        tools=schemas,
        messages=conversation.messages,
        outcome="failed" if conversation.error else "completed",
        failure=Failure(kind=conversation.error.kind, message=str(conversation.error)) if conversation.error else None,
        usage=conversation.usage,
        finish_reasons=conversation.finish_reasons,
        seconds=round(time.monotonic() - started, 3),
        timing=conversation.timing,
        provenance=provenance(teacher, worker, schemas, workspace.pin if workspace else None),
    )


def provenance(teacher: Teacher, worker: str, schemas: tuple[JsonObject, ...], pin: Pin | None) -> Provenance:
    """The teacher, tools, worker and workspace that produced a trajectory."""
    return Provenance(
        teacher=teacher.name,
        endpoint=teacher.endpoint,
        sampling=teacher.sampling,
        worker=worker,
        applejack_version=version(),
        toolset_digest=toolset.digest(schemas),
        workspace=pin,
        revision=teacher.revision,
    )


async def _unless_cancelled(
    conversation: Coroutine[object, object, Conversation], cancelled: Callable[[], bool]
) -> Conversation:
    """The whole conversation; StoppedError if it was cut off because `cancelled` turned true."""
    task = asyncio.ensure_future(conversation)
    while not task.done():
        if cancelled():
            task.cancel()
        await asyncio.wait([task], timeout=WATCH_SECONDS)
    if task.cancelled():
        raise StoppedError("the job was stopped in the middle of its conversation")
    return task.result()


def _tools(workspace: Workspace | None, names: Sequence[str], spec: Spec) -> Mapping[str, toolset.ToolFunction]:
    if workspace is None:
        return {}
    if not workspace.root.is_dir():
        raise WorkspaceError(f"the workspace {str(workspace.root)!r} was deleted; open it again")
    return toolset.build(
        workspace,
        names=names,
        allow_commands=spec.allow_commands,
        allow_files=spec.allow_files,
        mask_secrets=spec.secrets == "mask",
    )


def _generation_error(raised: Exception) -> GenerationError:
    if isinstance(raised, GenerationError):
        return raised
    return RolloutError(f"{type(raised).__name__}: {raised}", kind=FailureKind.INTERNAL)
