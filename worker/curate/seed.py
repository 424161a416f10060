"""Converts records of the seed generator to trajectories.

A record is {"query", "reasoning", "tool_calls": [{"tool" or "name", "args", "result"?}], "answer", "messages"?,
"metadata"?}. Each recorded call becomes its own assistant message, followed by a tool message if a result was recorded.
Nothing is repaired; the checks decide later:

    no "result" key   -> no tool message             a missing result
    "result": null    -> tool message, content None  a null result
    "result": ""      -> tool message, content ""    a tool that printed nothing, which is not null
"""

import hashlib
import json

from pydantic import JsonValue, TypeAdapter

from config.records import JOB_DIGITS, JsonObject, Message, ToolCall, Trajectory
from worker.curate.jsonlines import too_deep

CALL_NAMES = ("tool", "name")
CALL_ARGUMENTS = ("args", "arguments")
CALL_FIELDS = {*CALL_NAMES, *CALL_ARGUMENTS, "result"}
NO_TOOLS_CATEGORY = "negative"  # the generator's name for questions that need no tool
READ_FIELDS = {"query", "tool_calls", "answer"}  # stored in the messages; every other field is kept as an extra field

_OBJECTS = TypeAdapter(tuple[JsonObject, ...])


class SeedError(ValueError):
    """The object is not a valid record of the seed generator."""


def looks_like_seed(record: JsonObject) -> bool:
    """True if the object has a query and is not a trajectory with an extra query field."""
    return "query" in record and not ("job_id" in record and "outcome" in record)


def to_trajectory(record: JsonObject, *, run_id: str, number: int) -> Trajectory:
    """Convert the record; its job_id is the line number and the content hash. Raises SeedError."""
    query = record["query"]
    if not isinstance(query, str) or not query.strip():
        raise SeedError(f"query is {_short(query)}, not a non-empty string")
    messages = [Message(role="user", content=query)]
    calls = _calls(record)
    for place, call in enumerate(calls, 1):
        messages += _call_messages(call, call_id=f"call_{place}")
    answer = record.get("answer")
    if answer is not None:
        messages.append(Message(role="assistant", content=_text(answer)))
    trajectory: dict[str, object] = {
        "run_id": run_id,
        "job_id": f"{number:0{JOB_DIGITS}d}-{_digest(record)[:8]}",
        "prompt": query,
        "category": _category(record),
        "requires_tools": _requires_tools(record),
        "system_prompt": _system_prompt(record),
        "outcome": "completed",
    }
    conversation = {"tools": _tools(record), "messages": tuple(messages)}
    return Trajectory.model_validate(_unread(record, calls) | trajectory | conversation)


def _calls(record: JsonObject) -> list[JsonObject]:
    recorded = record.get("tool_calls")
    if recorded is None:
        return []
    if not isinstance(recorded, list):
        raise SeedError(f"tool_calls is {_short(recorded)}, not a list")
    calls: list[JsonObject] = []
    for place, call in enumerate(recorded):
        if not isinstance(call, dict):
            raise SeedError(f"tool_calls[{place}] is {_short(call)}, not an object")
        calls.append(call)
    return calls


def _call_messages(call: JsonObject, *, call_id: str) -> list[Message]:
    name = _first(call, CALL_NAMES)
    if not isinstance(name, str) or not name:
        raise SeedError(f"the tool name of a call is {_short(name)}; set 'tool' or 'name' to a non-empty string")
    tool_call = ToolCall(id=call_id, name=name, arguments=_arguments(_first(call, CALL_ARGUMENTS)))
    request = Message(role="assistant", content="", tool_calls=(tool_call,))
    if "result" not in call:
        return [request]
    result = call["result"]
    content = None if result is None else _text(result)
    return [request, Message(role="tool", tool_call_id=call_id, name=name, content=content)]


def _arguments(value: JsonValue) -> JsonObject | str:
    """The object. A JSON string is parsed; one that is not an object stays text. None and "" become {}."""
    if isinstance(value, str):
        if not value.strip():
            return {}
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return parsed if isinstance(parsed, dict) and not too_deep(parsed) else value
    if value is None:
        return {}
    return value if isinstance(value, dict) else _text(value)


def _requires_tools(record: JsonObject) -> bool:
    """The metadata's flag; without one, true for every category except "negative"."""
    flag = _metadata(record).get("requires_tools")
    if flag is None:
        return _category(record) != NO_TOOLS_CATEGORY
    return flag.strip().lower() not in ("false", "no", "0") if isinstance(flag, str) else bool(flag)


def _category(record: JsonObject) -> str:
    category = _metadata(record).get("category")
    return category if isinstance(category, str) and category else "general"


def _metadata(record: JsonObject) -> JsonObject:
    metadata = record.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _system_prompt(record: JsonObject) -> str:
    """The recorded system message, or "". Raises SeedError if there are two different ones."""
    messages = record.get("messages")
    recorded = [
        str(message["content"])
        for message in (messages if isinstance(messages, list) else ())
        if isinstance(message, dict) and message.get("role") == "system" and isinstance(message.get("content"), str)
    ]
    if len(set(recorded)) > 1:
        first, *others = dict.fromkeys(recorded)
        raise SeedError(f"two system prompts in messages: {_short(first)} and {_short(others[0])}")
    return recorded[0] if recorded else ""


def _tools(record: JsonObject) -> tuple[JsonObject, ...]:
    """The tool schemas if the record has them in OpenAI's format, else ()."""
    tools = record.get("tools")
    valid = isinstance(tools, list) and all(isinstance(tool, dict) and tool.get("type") == "function" for tool in tools)
    return _OBJECTS.validate_python(tools) if valid else ()


def _unread(record: JsonObject, calls: list[JsonObject]) -> dict[str, object]:
    """Fields that are not in the messages. A name that is also a trajectory field gets the prefix "seed_"."""
    unread: dict[str, object] = {}
    for field, value in record.items():
        if field not in READ_FIELDS:
            unread[f"seed_{field}" if field in Trajectory.model_fields else field] = value
    in_calls = [{k: v for k, v in call.items() if k not in CALL_FIELDS} for call in calls]
    return unread | {"seed_call_fields": in_calls} if any(in_calls) else unread


def _first(call: JsonObject, fields: tuple[str, ...]) -> JsonValue:
    return next((call[field] for field in fields if call.get(field) is not None), None)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _digest(record: JsonObject) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
