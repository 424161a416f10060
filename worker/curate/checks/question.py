"""Checks that a conversation is the job's: its question and nothing beside it, and no second system prompt.

A rollout sends one system prompt and one user message, the prompt. A row with other text around the question trains
for something that neither the server's users nor the held-out prompts ask, and may hold instructions that nobody gave.
Accepted: other white space, and the user messages by which pydantic-ai asks again after an unusable answer (`is_error`;
worker/generate/agent/history.py). System messages are no messages of a trajectory: worker/curate/sources.py and
worker/curate/seed.py read one per line and refuse a second.
"""

from collections.abc import Iterator

from config.errors import RejectionReason
from config.records import Finding, Message, Trajectory

SHOWN = 80  # characters of the evidence
SHORTEST_ECHO = 40  # characters of a system prompt; a shorter one may be what a sound answer says


def other_question(trajectory: Trajectory) -> Iterator[Finding]:
    """A first message that is not the prompt, a further user turn, or an assistant that repeats its system prompt."""
    prompt = _folded(trajectory.prompt)
    for index, message in enumerate(trajectory.messages):
        if message.role == "user" and (detail := _of_user(message, index, prompt)):
            yield Finding(reason=RejectionReason.MALFORMED, detail=detail, message=index)
        elif message.role == "assistant" and _echoes(message, trajectory):
            detail = f"the assistant repeats its system prompt, {trajectory.system_prompt[:SHOWN]!r}"
            yield Finding(reason=RejectionReason.MALFORMED, detail=detail, message=index)


def _of_user(message: Message, index: int, prompt: str) -> str:
    text = _folded(message.content or "")
    if index:
        return "" if message.is_error else f"a further user turn, which the job did not ask: {text[:SHOWN]!r}"
    if not text:
        return "the question is empty"
    if text == prompt:
        return ""
    if not prompt or prompt not in text:
        return f"the first message does not contain the prompt: {text[:SHOWN]!r}"
    before, _, after = text.partition(prompt)
    place, added = ("before", before) if before else ("after", after)
    return f"the first message adds text {place} the prompt: {added.strip()[:SHOWN]!r}"


def _echoes(message: Message, trajectory: Trajectory) -> bool:
    system = _folded(trajectory.system_prompt)
    if len(system) < SHORTEST_ECHO or system not in _folded(message.content or ""):
        return False
    return not any(system in _folded(other.content or "") for other in trajectory.messages if other.role != "assistant")


def _folded(text: str) -> str:
    return " ".join(text.split())
