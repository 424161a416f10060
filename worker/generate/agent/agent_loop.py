"""Runs one conversation between a teacher and the run's tools, until an answer, an error or a limit ends it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_ai import Agent, CallToolsNode, ModelRequestNode, ModelRetry, Tool, UsageLimits, capture_run_messages
from pydantic_ai.messages import ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.settings import ModelSettings
from pydantic_core import SchemaValidator, core_schema

from config.errors import FailureKind, GenerationError, RolloutError
from config.records import CUT, JsonObject, Limits, Message, RequestTiming, Sampling, Timing, ToolTiming, Usage
from worker.generate.agent import history as chat_history
from worker.generate.agent.error_mapping import to_generation_error
from worker.generate.agent.teacher import Teacher, opened, request_timings
from worker.tools.patterns import RefusedError
from worker.tools.toolset import ToolFunction

# from_schema accepts any JSON as arguments. A list or a number would then raise instead of being refused.
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema()))
QUOTED_CHARS = 200  # of a repeated call
TOOL_RETRIES = 3  # failed calls of one tool in a row, and turns in a row whose call the endpoint lost
# mlx_lm's parser for Qwen3-Coder drops a call with "None" or nothing for an integer, and reads "null" as no value
CALL_AGAIN = (
    "Your tool call could not be read, so no tool was run. Try again: write integers as digits, and leave out an "
    "argument that has no value instead of writing None."
)


@dataclass(frozen=True)
class Conversation:
    """The messages of a conversation, and the error that ended it, if any."""

    messages: tuple[Message, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timing: Timing | None = None
    """None without a model request that could be timed"""
    error: GenerationError | None = None
    """None: the conversation ended with an answer, which may be empty"""


async def converse(
    prompt: str,
    *,
    system_prompt: str,
    teacher: Teacher,
    limits: Limits,
    schemas: Sequence[JsonObject],
    tools: Mapping[str, ToolFunction],
) -> Conversation:
    """Run the agent until it answers or reaches a limit. The messages are returned in both cases."""
    with capture_run_messages() as history:
        error = None
        requests: Sequence[RequestTiming] = ()
        timed_tools: list[ToolTiming] = []
        clock = asyncio.timeout(limits.seconds)
        try:
            async with clock, opened(teacher.model) as model:
                requests = request_timings(model)
                agent = Agent(
                    model,
                    system_prompt=system_prompt or (),
                    tools=[_tool(schema, tools, timed_tools) for schema in schemas],
                    retries={"tools": TOOL_RETRIES, "output": 0},
                    model_settings=_settings(limits, teacher.sampling),
                )
                await _run(agent, prompt, limits)
        except Exception as raised:  # noqa: BLE001 - every failure of a rollout is recorded as data
            error = to_generation_error(raised, seconds=limits.seconds if clock.expired() else None)
        return Conversation(
            chat_history.to_messages(history),
            chat_history.finish_reasons(history),
            chat_history.usage(history),
            Timing(requests=tuple(requests), tools=tuple(timed_tools)) if requests else None,
            error,
        )


async def _run(agent: Agent[None, str], prompt: str, limits: Limits) -> None:
    call_counts: Counter[str] = Counter()
    lost = 0
    async with agent.iter(prompt, usage_limits=UsageLimits(request_limit=limits.requests)) as run:
        async for node in run:
            if isinstance(node, CallToolsNode):
                response = node.model_response
                lost = lost + 1 if chat_history.is_call_lost(response) else 0
                if lost:
                    _limit_lost_calls(lost)
                    await run.next(ModelRequestNode(ModelRequest(parts=[UserPromptPart(CALL_AGAIN)])))
                    continue
                if _is_cut(response) or _is_empty(response):
                    return
                _count_calls(response, call_counts, limits)


def _is_cut(response: ModelResponse) -> bool:
    """True if max_tokens ended the response. It ends the rollout: its text or its call is incomplete."""
    return chat_history.finish_reasons([response]) == (CUT,)


def _is_empty(response: ModelResponse) -> bool:
    """True for a response without text or calls. It ends the rollout: pydantic-ai would request another one."""
    return not response.tool_calls and not (response.text or "").strip()


def _limit_lost_calls(turns: int) -> None:
    if turns > TOOL_RETRIES:
        raise RolloutError(
            f"the endpoint announced a tool call and sent none, {turns} turns in a row; it could not parse the model's "
            "output, see its log",
            kind=FailureKind.MALFORMED_TOOL_CALL,
        )


def _count_calls(response: ModelResponse, call_counts: Counter[str], limits: Limits) -> None:
    for call in response.tool_calls:
        call_counts[f"{call.tool_name} {json.dumps(chat_history.call_arguments(call), sort_keys=True)}"] += 1
    if call_counts.total() > limits.tool_calls:
        raise RolloutError(
            f"{call_counts.total()} tool calls; the limit is {limits.tool_calls}", kind=FailureKind.REQUEST_LIMIT
        )
    most_frequent, times = call_counts.most_common(1)[0] if call_counts else ("", 0)
    if times > limits.repeats:
        raise RolloutError(
            f"the same call was made {times} times; the limit is {limits.repeats}: {most_frequent[:QUOTED_CHARS]}",
            kind=FailureKind.REQUEST_LIMIT,
        )


def _tool(schema: JsonObject, tools: Mapping[str, ToolFunction], timed: list[ToolTiming]) -> Tool[None]:
    function = schema["function"]
    assert isinstance(function, dict)
    name, purpose, parameters = function["name"], function["description"], function["parameters"]
    assert isinstance(name, str)
    assert isinstance(purpose, str)
    assert isinstance(parameters, dict)

    # Async, so that it runs in this rollout's thread. Tools have their own time limit and need no second thread.
    async def run(**arguments: object) -> str:
        began = time.monotonic()
        try:
            return tools[name](arguments)  # type: ignore[arg-type] # JSON, as received
        except RefusedError as refused:
            raise ModelRetry(str(refused)) from refused
        finally:
            timed.append(ToolTiming(name=name, seconds=round(time.monotonic() - began, 4)))

    tool: Tool[None] = Tool.from_schema(run, name, purpose, dict(parameters))
    tool.function_schema.validator = _ANY_OBJECT
    return tool


def _settings(limits: Limits, sampling: Sampling | None) -> ModelSettings:
    settings = ModelSettings(max_tokens=limits.max_tokens)
    if sampling is not None:
        settings["temperature"] = sampling.temperature
        if sampling.top_p is not None:
            settings["top_p"] = sampling.top_p
    return settings
