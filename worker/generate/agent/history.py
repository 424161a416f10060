"""Converts pydantic-ai's message history into a trajectory's messages, as they were sent over the wire."""

import json
from collections.abc import Iterator, Sequence

from pydantic import JsonValue
from pydantic_ai.messages import (
    ERROR_OUTCOMES,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    RetryFeedbackPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from config.records import CALLED, Message, ToolCall, Usage, parsed_arguments

# The library's normalised finish reasons. The endpoint's own value is preferred where there is one.
_FINISH_REASONS = {"tool_call": CALLED}


def to_messages(history: Sequence[ModelMessage]) -> tuple[Message, ...]:
    """Every message after the system prompt. Results are matched to calls by id, never by name.

    The text and the ids are those of later requests; see teacher.py. Reasoning is in neither.
    """
    messages: list[Message] = []
    for message in history:
        if isinstance(message, ModelResponse):
            messages.append(_assistant(message))
        else:
            messages.extend(_request(message, asks_again=bool(messages)))
    return tuple(messages)


def finish_reasons(history: Sequence[ModelMessage]) -> tuple[str, ...]:
    """One per model response, as the endpoint spells it: stop, tool_calls, length, ..."""
    return tuple(_finish_reason(message) for message in history if isinstance(message, ModelResponse))


def is_call_lost(response: ModelResponse) -> bool:
    """True if the endpoint announced a call and sent none. Text beside it is not an answer.

    mlx_lm drops a call that its parser refuses and only logs it. If it drops one of several calls, that cannot be told
    from the stream: the finish reason is the same, calls are numbered after parsing, and the traces that are left (a
    line break as content, more completion tokens than the calls have text) also occur without a loss.
    """
    return not response.tool_calls and _finish_reason(response) == CALLED


def usage(history: Sequence[ModelMessage]) -> Usage:
    """Tokens and requests of the responses received."""
    responses = [message for message in history if isinstance(message, ModelResponse)]
    return Usage(
        requests=len(responses),
        tool_calls=sum(len(response.tool_calls) for response in responses),
        input_tokens=sum(response.usage.input_tokens for response in responses),
        output_tokens=sum(response.usage.output_tokens for response in responses),
    )


def call_arguments(call: ToolCallPart) -> dict[str, JsonValue] | str:
    """The arguments as an object, or the model's text if that is not a JSON object.

    Only in the second case does the record differ from the next request, which has {"INVALID_JSON": text} instead.
    """
    arguments = parsed_arguments(dict(call.args) if isinstance(call.args, dict) else call.args)
    assert isinstance(arguments, dict | str)
    return arguments


def _assistant(response: ModelResponse) -> Message:
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    return Message(
        role="assistant",
        content="\n\n".join(texts) if texts else None,
        tool_calls=tuple(
            ToolCall(id=call.tool_call_id, name=call.tool_name, arguments=call_arguments(call))
            for call in response.tool_calls
        ),
    )


def _request(request: ModelRequest, *, asks_again: bool) -> Iterator[Message]:
    for part in request.parts:
        message = _request_part(part, asks_again=asks_again)
        if message is not None:
            yield message


def _request_part(part: ModelRequestPart, *, asks_again: bool) -> Message | None:
    if isinstance(part, UserPromptPart):  # the prompt, or later a request to repeat a lost call
        content = part.content if isinstance(part.content, str) else str(part.content)
        return Message(role="user", content=content, is_error=asks_again)
    if isinstance(part, ToolReturnPart):
        return Message(
            role="tool",
            content=part.model_response_str(),
            tool_call_id=part.tool_call_id,
            name=part.tool_name,
            is_error=part.outcome in ERROR_OUTCOMES,
        )
    if isinstance(part, RetryFeedbackPart):  # not a reply to a call: the whole response was unusable
        content = part.content if isinstance(part.content, str) else json.dumps(part.content, default=str)
        return Message(role="user", content=f"[the answer could not be used] {content}", is_error=True)
    return None  # the system prompt is a field of the trajectory


def _finish_reason(response: ModelResponse) -> str:
    raw = (response.provider_details or {}).get("finish_reason")
    if isinstance(raw, str):
        return raw
    if response.finish_reason:
        return _FINISH_REASONS.get(response.finish_reason, response.finish_reason)
    return CALLED if response.tool_calls else "stop"  # the scripted teacher sets none
