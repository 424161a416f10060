"""What pydantic-ai remembers of a run, as the messages of a trajectory: what was said, as it went over the wire."""

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
from pydantic_core import from_json

from config.records import Message, ToolCall, Usage

# the library's normalised words; the endpoint's own come first where it told them
_FINISH_REASONS = {"tool_call": "tool_calls"}


def to_messages(history: Sequence[ModelMessage]) -> tuple[Message, ...]:
    """Every message after the system prompt; results follow their call's id, never its name.

    Thinking is left out: it is not part of the conversation that a student is shown.
    """
    said: list[Message] = []
    for message in history:
        if isinstance(message, ModelResponse):
            said.append(_assistant(message))
        else:
            said.extend(_request(message))
    return tuple(said)


def finish_reasons(history: Sequence[ModelMessage]) -> tuple[str, ...]:
    """One per answer of the model, in the endpoint's words: stop, tool_calls, length, ..."""
    return tuple(_finish_reason(message) for message in history if isinstance(message, ModelResponse))


def usage(history: Sequence[ModelMessage]) -> Usage:
    """Tokens and requests of the answers that came."""
    answers = [message for message in history if isinstance(message, ModelResponse)]
    return Usage(
        requests=len(answers),
        tool_calls=sum(len(answer.tool_calls) for answer in answers),
        input_tokens=sum(answer.usage.input_tokens for answer in answers),
        output_tokens=sum(answer.usage.output_tokens for answer in answers),
    )


def call_arguments(call: ToolCallPart) -> dict[str, JsonValue] | str:
    """The arguments as an object; as the text the model wrote where it wrote no object.

    Only there does the record differ from the next request: text that is no JSON goes back as {"INVALID_JSON": text}.
    """
    if isinstance(call.args, dict):
        return dict(call.args)
    text = call.args or "{}"  # none at all is how some servers write a call without arguments
    try:
        read = from_json(text, allow_inf_nan=False)  # unlike json it refuses what no JSON message could carry on
    except ValueError:
        return text
    return read if isinstance(read, dict) else text


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


def _request(request: ModelRequest) -> Iterator[Message]:
    for part in request.parts:
        message = _request_part(part)
        if message is not None:
            yield message


def _request_part(part: ModelRequestPart) -> Message | None:
    if isinstance(part, UserPromptPart):
        return Message(role="user", content=part.content if isinstance(part.content, str) else str(part.content))
    if isinstance(part, ToolReturnPart):
        return Message(
            role="tool",
            content=part.model_response_str(),
            tool_call_id=part.tool_call_id,
            name=part.tool_name,
            is_error=part.outcome in ERROR_OUTCOMES,
        )
    if isinstance(part, RetryFeedbackPart):  # answers no call: the whole answer was of no use
        content = part.content if isinstance(part.content, str) else json.dumps(part.content, default=str)
        return Message(role="user", content=f"[the answer could not be used] {content}", is_error=True)
    return None  # the system prompt, which the trajectory holds apart


def _finish_reason(response: ModelResponse) -> str:
    raw = (response.provider_details or {}).get("finish_reason")
    if isinstance(raw, str):
        return raw
    if response.finish_reason:
        return _FINISH_REASONS.get(response.finish_reason, response.finish_reason)
    return "tool_calls" if response.tool_calls else "stop"  # a programmatic teacher says none
