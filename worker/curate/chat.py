"""Converts a trajectory to the chat messages that a template renders and a server receives."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from config.records import JsonObject, Message, ToolCall, Trajectory, own_text


@dataclass(frozen=True)
class Turn:
    """One assistant turn of a rendered conversation."""

    index: int
    """index into the chat messages"""
    was_retried: bool
    """the turn's tool call failed: keep it as context, exclude it from the loss"""


def chat_messages(trajectory: Trajectory) -> list[JsonObject]:
    """The messages in the form of the server's template input: system prompt first, no nulls, arguments as objects.

    `mlx_lm.server` turns a null content into "" and argument text into objects before it renders. With the same form
    here, a training row and a request are the same input to the template.
    """
    system: list[JsonObject] = (
        [{"role": "system", "content": trajectory.system_prompt}] if trajectory.system_prompt else []
    )
    return [*system, *(_chat_message(message) for message in taught(trajectory))]


def taught(trajectory: Trajectory) -> tuple[Message, ...]:
    """The messages without lost calls: turns whose call the server dropped, and the requests to make it again.

    Such a turn has lost its content, so there is nothing to learn from it. Without it the conversation is whole.
    """
    messages = trajectory.messages
    asks_again = [*(message.role == "user" and message.is_error for message in messages), False]
    return tuple(
        message
        for message, (this, following) in zip(messages, pairwise(asks_again), strict=True)
        if not this and not (following and message.role == "assistant" and not message.tool_calls)
    )


def turns(trajectory: Trajectory) -> tuple[Turn, ...]:
    """Every assistant turn, in order."""
    failed = {m.tool_call_id for m in trajectory.messages if m.role == "tool" and m.is_error}
    offset = 1 if trajectory.system_prompt else 0
    return tuple(
        Turn(index=number + offset, was_retried=any(call.id in failed for call in message.tool_calls))
        for number, message in enumerate(taught(trajectory))
        if message.role == "assistant"
    )


def results(trajectory: Trajectory) -> dict[str, Message]:
    """The first tool message per call id."""
    found: dict[str, Message] = {}
    for message in trajectory.messages:
        if message.role == "tool" and message.tool_call_id is not None:
            found.setdefault(message.tool_call_id, message)
    return found


def calls(trajectory: Trajectory) -> Iterator[tuple[int, ToolCall]]:
    """Every call, with the index of its message."""
    for index, message in enumerate(trajectory.messages):
        for call in message.tool_calls:
            yield index, call


def _chat_message(message: Message) -> JsonObject:
    content = own_text(message.content) if message.role == "assistant" else message.content or ""
    chat: JsonObject = {"role": message.role, "content": content}
    if message.tool_calls:
        chat["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        chat["tool_call_id"] = message.tool_call_id or ""
        if message.name:
            chat["name"] = message.name
    return chat
