"""Checks of a conversation's structure: phantom calls, roles out of order, calls that violate a schema."""

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from config.errors import RejectionReason
from config.records import Finding, JsonObject, Message, ToolCall, Trajectory
from worker.curate.chat import calls, results

FOLLOWS = {  # role -> roles that may precede it
    "user": (None, "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def phantom_call(trajectory: Trajectory) -> Iterator[Finding]:
    """A result that was logged as a call: no arguments, directly after a call of the same tool.

    A tool without required arguments may be called like this if the call has its own result.
    """
    found = results(trajectory)
    before: ToolCall | None = None
    for index, call in calls(trajectory):
        if before and call.name == before.name and call.arguments in ({}, "", "{}"):
            result, previous = found.get(call.id), found.get(before.id)
            content = result.content if result else None
            schema = parameters(trajectory, call.name)
            genuine = schema is not None and not schema.get("required") and bool((content or "").strip())
            if not genuine or (previous is not None and previous.content == content):
                yield Finding(
                    reason=RejectionReason.PHANTOM_CALL,
                    detail=f"{call.name!r} without arguments directly after {call.name!r}: a result logged as a call",
                    message=index,
                    call=call.id,
                )
        before = call


def malformed(trajectory: Trajectory) -> Iterator[Finding]:
    """Roles out of order, arguments that are not an object, and calls that succeeded although they violate a schema."""
    yield from _order(trajectory)
    found = results(trajectory)
    known = {name for tool in trajectory.tools if (name := _name(tool))}
    for index, call in calls(trajectory):
        if isinstance(call.arguments, str):
            yield _malformed(
                f"the arguments of {call.name!r} are not a JSON object: {call.arguments[:80]!r}", index, call.id
            )
            continue
        result = found.get(call.id)
        if result is None or result.is_error:
            continue
        if known and call.name not in known:
            yield _malformed(f"{call.name!r} is not one of the tools, but has a result", index, call.id)
        elif fault := _against_schema(call.arguments, parameters(trajectory, call.name) or {}):
            yield _malformed(f"{call.name!r} has a result although {fault}", index, call.id)


def parameters(trajectory: Trajectory, name: str) -> JsonObject | None:
    """The JSON schema of a tool's arguments; None if the trajectory does not have it."""
    for tool in trajectory.tools:
        if _name(tool) == name:
            function = tool.get("function")
            schema = function.get("parameters") if isinstance(function, dict) else None
            return schema if isinstance(schema, dict) else {}
    return None


def _name(tool: JsonObject) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _order(trajectory: Trajectory) -> Iterator[Finding]:
    if not trajectory.messages:
        return
    found = results(trajectory)
    before: Message | None = None
    for index, message in enumerate(trajectory.messages):
        role = before.role if before else None
        missing = role == message.role == "assistant" and before is not None and _unanswered(before, found)
        if role not in FOLLOWS[message.role] and not missing:  # a missing result has its own reason
            yield _malformed(
                f"a message with the role {message.role!r} follows {repr(role) if role else 'nothing'}", index
            )
        if message.tool_calls and message.role != "assistant":
            yield _malformed(f"a message with the role {message.role!r} calls {message.tool_calls[0].name!r}", index)
        before = message


def _unanswered(message: Message, found: Mapping[str, Message]) -> bool:
    """Whether the message has calls, none of which has a result."""
    return bool(message.tool_calls) and not any(call.id in found for call in message.tool_calls)


def _against_schema(arguments: JsonObject, schema: JsonObject) -> str:
    """The first violation of the schema, "" if there is none."""
    required = schema.get("required")
    for key in required if isinstance(required, list) else []:
        if key not in arguments:
            return f"the required argument {key!r} is missing"
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return ""
    for key, value in arguments.items():
        if key not in properties:
            return f"there is no argument {key!r}"
        if fault := _against_type(key, value, properties[key]):
            return fault
    return ""


def _against_type(key: str, value: JsonValue, schema: JsonValue) -> str:
    expected = schema.get("type") if isinstance(schema, dict) else None
    allowed = TYPES.get(expected) if isinstance(expected, str) else None
    if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
        return f"the argument {key!r} should be of type {expected}, not {value!r}"
    return ""


def _malformed(detail: str, index: int, call: str | None = None) -> Finding:
    return Finding(reason=RejectionReason.MALFORMED, detail=detail, message=index, call=call)
