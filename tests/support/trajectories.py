"""Trajectories for tests: a sound one with tools, one without, and what to change in them."""

from collections.abc import Sequence

from config.records import JsonObject, Message, ToolCall, Trajectory

GREP: JsonObject = {
    "type": "function",
    "function": {
        "name": "grep",
        "description": "Show the lines that match a regular expression.",
        "parameters": {
            "type": "object",
            "properties": {"pattern": {"type": "string"}, "path": {"type": "string"}, "glob": {"type": "string"}},
            "required": ["pattern"],
        },
    },
}
COUNT: JsonObject = {
    "type": "function",
    "function": {
        "name": "count",
        "description": "Count files.",
        "parameters": {
            "type": "object",
            "properties": {"pattern": {"type": "string"}, "path": {"type": "string"}, "glob": {"type": "string"}},
        },
    },
}
SYSTEM = "You answer questions about code."


def user(text: str) -> Message:
    return Message(role="user", content=text)


def says(text: str) -> Message:
    return Message(role="assistant", content=text)


def asks(*calls: ToolCall, text: str = "") -> Message:
    return Message(role="assistant", content=text, tool_calls=calls)


def call(name: str = "grep", key: str = "c1", **arguments: str) -> ToolCall:
    return ToolCall(id=key, name=name, arguments=dict(arguments))


def told(content: str | None, key: str = "c1", *, name: str | None = "grep", error: bool = False) -> Message:
    return Message(role="tool", tool_call_id=key, name=name, content=content, is_error=error)


def trajectory(messages: Sequence[Message], /, **fields: object) -> Trajectory:
    """A completed trajectory of these messages."""
    question = messages[0].content if messages and messages[0].role == "user" else "Which?"
    given: dict[str, object] = {
        "run_id": "run",
        "job_id": "000001-aaaaaaaa",
        "prompt": question,
        "system_prompt": SYSTEM,
        "tools": (GREP, COUNT),
        "messages": tuple(messages),
        "outcome": "completed",
    }
    return Trajectory.model_validate(given | fields)


def looked_up(number: int = 0, **fields: object) -> Trajectory:
    """A sound conversation with one call; each number is about something else."""
    name = f"Widget{number}"
    return trajectory(
        [
            user(f"Which file defines the class {name}?"),
            asks(call(pattern=f"class {name}\\b")),
            told(f"shop/part{number}.py:{number + 3}: class {name}(Base):"),
            says(f"The class {name} is defined in shop/part{number}.py."),
        ],
        **{"job_id": f"{number:06d}-aaaaaaaa", "category": "where_defined", **fields},
    )


def from_memory(number: int = 0, **fields: object) -> Trajectory:
    """A sound answer that needs no tool."""
    return trajectory(
        [user(f"What is {number} plus 1?"), says(f"{number} plus 1 is {number + 1}.")],
        **{"job_id": f"{number:06d}-bbbbbbbb", "category": "arithmetic", "requires_tools": False, **fields},
    )
