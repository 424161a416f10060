"""One conversation: a teacher, the run's tools and its limits, until an answer or a fault ends it."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_ai import Agent, CallToolsNode, ModelRetry, Tool, UsageLimits, capture_run_messages
from pydantic_ai.messages import ModelResponse
from pydantic_ai.settings import ModelSettings
from pydantic_core import SchemaValidator, core_schema

from config.errors import FailureKind, GenerationError, RolloutError
from config.records import JsonObject, Limits, Message, Sampling, Usage
from worker.generate.agent import history as chat_history
from worker.generate.agent.error_mapping import to_generation_error
from worker.generate.agent.teacher import Teacher, opened
from worker.tools.patterns import RefusedError
from worker.tools.toolset import ToolFunction

# from_schema takes any JSON for arguments; a list or a number then breaks the call instead of being refused
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema()))
QUOTED_CHARS = 200  # of a repeated call
TOOL_RETRIES = 3  # times in a row a model may fail to mend its calls of one tool


@dataclass(frozen=True)
class Conversation:
    """What was said until the end, and what the end was."""

    messages: tuple[Message, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    error: GenerationError | None = None
    """None: it ended with an answer, which may be empty"""


async def converse(
    prompt: str,
    *,
    system_prompt: str,
    teacher: Teacher,
    limits: Limits,
    schemas: Sequence[JsonObject],
    tools: Mapping[str, ToolFunction],
) -> Conversation:
    """Run the agent to its end or to the first limit; what was said comes back either way."""
    with capture_run_messages() as history:
        error = None
        clock = asyncio.timeout(limits.seconds)
        try:
            async with clock, opened(teacher.model) as model:
                agent = Agent(
                    model,
                    system_prompt=system_prompt or (),
                    tools=[_tool(schema, tools) for schema in schemas],
                    retries={"tools": TOOL_RETRIES, "output": 0},
                    model_settings=_settings(limits, teacher.sampling),
                )
                await _run(agent, prompt, limits)
        except Exception as raised:  # noqa: BLE001 - whatever went wrong in a rollout is data, with its name
            error = to_generation_error(raised, seconds=limits.seconds if clock.expired() else None)
        return Conversation(
            chat_history.to_messages(history),
            chat_history.finish_reasons(history),
            chat_history.usage(history),
            error,
        )


async def _run(agent: Agent[None, str], prompt: str, limits: Limits) -> None:
    made: Counter[str] = Counter()
    async with agent.iter(prompt, usage_limits=UsageLimits(request_limit=limits.requests)) as run:
        async for node in run:
            if isinstance(node, CallToolsNode):
                response = node.model_response
                if _says_nothing(response):
                    return
                _count(response, made, limits)


def _says_nothing(response: ModelResponse) -> bool:
    """True for an answer without text or calls, which ends the rollout: asking again is no part of a conversation."""
    if response.tool_calls or (response.text or "").strip():
        return False
    if chat_history.finish_reasons([response]) == ("tool_calls",):
        raise RolloutError(
            "the endpoint announced a tool call and sent none; it could not read what the model wrote",
            kind=FailureKind.MALFORMED_TOOL_CALL,
        )
    return True


def _count(response: ModelResponse, made: Counter[str], limits: Limits) -> None:
    for call in response.tool_calls:
        made[f"{call.tool_name} {json.dumps(chat_history.call_arguments(call), sort_keys=True)}"] += 1
    if made.total() > limits.tool_calls:
        raise RolloutError(
            f"{made.total()} tool calls, {limits.tool_calls} are allowed", kind=FailureKind.REQUEST_LIMIT
        )
    most, times = made.most_common(1)[0] if made else ("", 0)
    if times > limits.repeats:
        raise RolloutError(
            f"the same call was made {times} times, {limits.repeats} are allowed: {most[:QUOTED_CHARS]}",
            kind=FailureKind.REQUEST_LIMIT,
        )


def _tool(schema: JsonObject, tools: Mapping[str, ToolFunction]) -> Tool[None]:
    function = schema["function"]
    assert isinstance(function, dict)
    name, purpose, parameters = function["name"], function["description"], function["parameters"]
    assert isinstance(name, str)
    assert isinstance(purpose, str)
    assert isinstance(parameters, dict)

    # Async, so that it runs in this rollout's own thread: a tool is bounded by itself and needs no second one.
    async def run(**arguments: object) -> str:
        try:
            return tools[name](arguments)  # type: ignore[arg-type] # JSON, as the wire brought it
        except RefusedError as refused:
            raise ModelRetry(str(refused)) from refused
        except OSError as error:
            raise ModelRetry(f"{name} cannot read that: {error.strerror or error}") from error

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
