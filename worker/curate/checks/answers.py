"""Checks on how a rollout ended: failed, cut, empty, or answered from memory."""

import re
from collections.abc import Iterator

from config.errors import RejectionReason
from config.records import Finding, Trajectory

NOTHING_SAID = re.compile(r"(?i)^\W*(?:none|null|n/?a|todo|tbd|undefined|nan|\.\.\.)?\W*$")


def failed_generation(trajectory: Trajectory) -> Iterator[Finding]:
    """The rollout did not complete."""
    if trajectory.outcome == "failed":
        failure = trajectory.failure
        detail = f"{failure.kind}: {failure.message[:200]}" if failure else "the rollout failed and does not say why"
        yield Finding(reason=RejectionReason.FAILED_GENERATION, detail=detail)


def truncated(trajectory: Trajectory) -> Iterator[Finding]:
    """A model turn ended at max_tokens, or the answer ends inside a code fence."""
    for number, reason in enumerate(trajectory.finish_reasons):
        if reason == "length":
            yield Finding(
                reason=RejectionReason.TRUNCATED,
                detail=f"model turn {number + 1} of {len(trajectory.finish_reasons)} ended with finish_reason 'length'",
            )
    fences = re.findall(r"(?m)^\s*```", trajectory.answer)
    if len(fences) % 2:
        yield Finding(
            reason=RejectionReason.TRUNCATED,
            detail="the answer ends inside a code fence",
            message=len(trajectory.messages) - 1,
        )


def empty_answer(trajectory: Trajectory) -> Iterator[Finding]:
    """A completed rollout without a final answer: nothing said, or a call still open."""
    if trajectory.outcome != "completed":
        return
    last = trajectory.messages[-1] if trajectory.messages else None
    index = len(trajectory.messages) - 1
    if last is None:
        detail = "there are no messages"
    elif last.role != "assistant":
        detail = f"the last message is the {last.role}'s"
    elif last.tool_calls:
        detail = f"the last message calls {last.tool_calls[0].name!r} and nothing follows"
    elif NOTHING_SAID.match(last.content or ""):
        detail = f"the answer is {last.content!r}"
    else:
        return
    yield Finding(reason=RejectionReason.EMPTY_ANSWER, detail=detail, message=index if last is not None else None)


def tools_required_but_none(trajectory: Trajectory) -> Iterator[Finding]:
    """A completed rollout that answered without any call what needs looking up."""
    if trajectory.outcome == "completed" and trajectory.requires_tools and not trajectory.tool_calls:
        yield Finding(
            reason=RejectionReason.TOOLS_REQUIRED_BUT_NONE,
            detail="the question needs tools and none was called",
            message=len(trajectory.messages) - 1 if trajectory.messages else None,
        )
