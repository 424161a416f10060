"""What pydantic-ai remembers becomes messages of a trajectory: parts that no endpoint can be made to send."""

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from config.records import Message, ToolCall
from worker.generate.agent.history import finish_reasons, to_messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # the system prompt is held apart
        (
            ModelRequest([SystemPromptPart("be brief"), UserPromptPart("hello")]),
            [Message(role="user", content="hello")],
        ),
        # feedback that answers no call is a user's message that says so
        (
            ModelRequest([RetryFeedbackPart("say more", retry=RetryInfo("no_output"))]),
            [Message(role="user", content="[the answer could not be used] say more", is_error=True)],
        ),
        # a retry that answers a call is an error result; its words are those on the wire
        (
            ModelRequest([ToolReturnPart("grep", "bad pattern", "1", outcome="retried")]),
            [Message(role="tool", content='{"error":"bad pattern"}', tool_call_id="1", name="grep", is_error=True)],
        ),
        (
            ModelRequest([ToolReturnPart("grep", "no disk", "1", outcome="failed")]),
            [Message(role="tool", content='{"error":"no disk"}', tool_call_id="1", name="grep", is_error=True)],
        ),
        # text on both sides of a call is one content, thinking is none
        (
            ModelResponse([ThinkingPart("hm"), TextPart("a"), ToolCallPart("grep", {"x": 1}, "1"), TextPart("b")]),
            [
                Message(
                    role="assistant", content="a\n\nb", tool_calls=(ToolCall(id="1", name="grep", arguments={"x": 1}),)
                )
            ],
        ),
        # a call without arguments
        (
            ModelResponse([ToolCallPart("list_dir", "", "1")]),
            [Message(role="assistant", tool_calls=(ToolCall(id="1", name="list_dir", arguments={}),))],
        ),
    ],
)
def test_part_becomes_message(message: ModelMessage, expected: list[Message]) -> None:
    assert list(to_messages([message])) == expected


def test_finish_reason_is_the_endpoints_own_word() -> None:
    own = ModelResponse([], provider_details={"finish_reason": "tool_calls"}, finish_reason="tool_call")
    normalised = ModelResponse([], finish_reason="tool_call")
    programmatic = ModelResponse([ToolCallPart("grep", {}, "1")])
    assert finish_reasons([own, normalised, programmatic]) == ("tool_calls",) * 3
