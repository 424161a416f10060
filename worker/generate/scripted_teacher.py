"""The scripted teacher: a program in place of a model, for trying and measuring a fleet without one.

It parses a mined question, makes real tool calls and composes the answer from their results. It never sees `expect`.
The same prompt over the same workspace gives the same messages, including the call ids.
"""

import re
from collections.abc import Sequence
from typing import Final

from pydantic_ai.messages import (
    ERROR_OUTCOMES,
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from config.questions.general_knowledge import answer
from config.questions.wording import parse
from worker.generate.agent import Teacher
from worker.generate.scripted_plans import Call, Plan, Result, plan, run_all

NAME: Final = "scripted"
ENDPOINT: Final = "in-process"


def scripted_teacher() -> Teacher:
    """The teacher named "scripted" in the provenance. It has no state, so any number of threads may share it."""
    return Teacher(name=NAME, endpoint=ENDPOINT, model=FunctionModel(_respond, model_name=NAME), sampling=None)


def _respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    step = next_step(_prompt(messages), _results(messages))
    if isinstance(step, str):
        return ModelResponse(parts=[TextPart(step)], finish_reason="stop")
    offered = {tool.name for tool in info.function_tools}
    missing = [call.name for call in step if call.name not in offered]
    if missing:
        return ModelResponse(
            parts=[TextPart(f"I cannot look that up: there is no tool {missing[0]}.")], finish_reason="stop"
        )
    earlier = sum(len(message.tool_calls) for message in messages if isinstance(message, ModelResponse))
    parts = [ToolCallPart(call.name, call.arguments, f"call_{earlier + at}") for at, call in enumerate(step, 1)]
    return ModelResponse(parts=parts, finish_reason="tool_call")


def next_step(prompt: str, results: Sequence[tuple[Result, ...]]) -> tuple[Call, ...] | str:
    """The calls to make next, or the answer, after the results of each turn so far."""
    question = parse(prompt)
    known = answer(question.category, question.slots) if question else None
    if known is not None:
        return known
    if question:
        return _replayed(plan(question), results)
    word = _longest_identifier(prompt)
    return _replayed(run_all(word), results) if word else "I do not know what to look for."


def _replayed(steps: Plan, results: Sequence[tuple[Result, ...]]) -> tuple[Call, ...] | str:
    try:
        calls = next(steps)
        for result in results:
            calls = steps.send(result)
    except StopIteration as end:
        text: str = end.value
        return text
    return calls


def _longest_identifier(prompt: str) -> str | None:
    """The longest word that looks like code, else the longest word. The first one wins a tie."""
    words = re.findall(r"[A-Za-z_]\w{2,}", prompt, re.ASCII)
    code = [word for word in words if "_" in word or not word[1:].islower() or any(map(str.isdigit, word))]
    return max(code or words, key=len, default=None)


def _prompt(messages: Sequence[ModelMessage]) -> str:
    prompts = (part for message in messages for part in message.parts if isinstance(part, UserPromptPart))
    content = next(prompts).content
    return content if isinstance(content, str) else ""


def _results(messages: Sequence[ModelMessage]) -> list[tuple[Result, ...]]:
    """The results of each turn's calls, matched by id and in the order of the calls."""
    returned = {
        part.tool_call_id: Result(str(part.content), part.outcome in ERROR_OUTCOMES)
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }
    turns = [message.tool_calls for message in messages if isinstance(message, ModelResponse) and message.tool_calls]
    missing = Result("the call was not answered", is_error=True)
    return [tuple(returned.get(call.tool_call_id, missing) for call in calls) for calls in turns]
