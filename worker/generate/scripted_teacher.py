"""the scripted teacher: a program in a model's place, so that a fleet can be tried and measured with no model.

It reads a mined question back, makes real tool calls and composes its answer from what they say; it never sees
`expect`. The same prompt over the same workspace gives the same messages, ids included.
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
    """The teacher that provenance calls "scripted"; it holds no state, so any number of threads may use it."""
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
    made = sum(len(said.tool_calls) for said in messages if isinstance(said, ModelResponse))
    parts = [ToolCallPart(call.name, call.arguments, f"call_{made + at}") for at, call in enumerate(step, 1)]
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
        said: str = end.value
        return said
    return calls


def _longest_identifier(prompt: str) -> str | None:
    """The longest word that looks like code, else the longest word; the first of equals."""
    words = re.findall(r"[A-Za-z_]\w{2,}", prompt, re.ASCII)
    code = [word for word in words if "_" in word or not word[1:].islower() or any(map(str.isdigit, word))]
    return max(code or words, key=len, default=None)


def _prompt(messages: Sequence[ModelMessage]) -> str:
    asked = (part for said in messages for part in said.parts if isinstance(part, UserPromptPart))
    content = next(asked).content
    return content if isinstance(content, str) else ""


def _results(messages: Sequence[ModelMessage]) -> list[tuple[Result, ...]]:
    """What was answered to the calls of each turn, in the order of the calls and by their ids."""
    returned = {
        part.tool_call_id: Result(str(part.content), part.outcome in ERROR_OUTCOMES)
        for said in messages
        for part in said.parts
        if isinstance(part, ToolReturnPart)
    }
    turns = [said.tool_calls for said in messages if isinstance(said, ModelResponse) and said.tool_calls]
    missing = Result("the call was not answered", is_error=True)
    return [tuple(returned.get(call.tool_call_id, missing) for call in calls) for calls in turns]
