"""Test conversations for the doctor: short and valid, with calls that templates and parsers often get wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from config.records import JsonObject, Message, ToolCall, Trajectory
from worker.curate.chat import chat_messages
from worker.curate.render import Rendered, render_text, render_turns
from worker.student.tokenizer import RenderError, Student

QUESTION = "How many are there?"
ANSWER = "There are twelve of them."
TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks something up.",
        "parameters": {
            "type": "object",
            "properties": {"pattern": {"type": "string"}, "limit": {"type": "integer"}, "options": {"type": "object"}},
            "required": ["pattern"],
        },
    },
}


@dataclass(frozen=True)
class Sample:
    """One assistant turn. A parser must read `calls` back from it."""

    what: str
    content: str
    calls: tuple[JsonObject, ...]

    @property
    def trajectory(self) -> Trajectory:
        """A conversation with this turn. If the turn has calls, their results and an answer follow."""
        calls = tuple(
            ToolCall(id=f"probe{number:05d}", name=str(call["name"]), arguments=cast(JsonObject, call["arguments"]))
            for number, call in enumerate(self.calls)
        )
        results = [Message(role="tool", content="12", tool_call_id=call.id, name=call.name) for call in calls]
        return Trajectory(
            run_id="doctor",
            job_id="000001-doctor00",
            prompt=QUESTION,
            system_prompt="You look before you answer.",
            tools=(TOOL,),
            messages=(
                Message(role="user", content=QUESTION),
                Message(role="assistant", content=self.content, tool_calls=calls),
                *results,
                *((Message(role="assistant", content=ANSWER),) if calls else ()),
            ),
            outcome="completed",
        )


def call(**arguments: object) -> JsonObject:
    """A call of the doctor's tool."""
    return {"name": "look_up", "arguments": cast(JsonObject, arguments)}


PLAIN = Sample("a plain call", "", (call(pattern="class"),))
SAMPLES = (
    Sample("an answer without a call", ANSWER, ()),
    PLAIN,
    Sample("a call after a sentence", "I look first.", (call(pattern="class"),)),
    Sample("a number", "", (call(pattern="class", limit=7),)),
    Sample("nested arguments", "", (call(pattern="a", options={"deep": {"list": [1, "two", {"x": True}]}}),)),
    Sample("letters of other scripts", "", (call(pattern="Größe 数 🍎 \u2028"),)),
    Sample("newlines", "", (call(pattern="first\n  second\n\nfourth"),)),
    Sample("quotes and backslashes", "", (call(pattern='say "it\'s" \\d+ \\"'),)),
    Sample("angle brackets and braces", "", (call(pattern="<b>{x}</b> & [y]"),)),
    Sample("two calls in one turn", "", (call(pattern="one"), call(pattern="two"))),
)


@dataclass(frozen=True)
class Conversation:
    """A sample rendered as rows of both formats."""

    sample: Sample
    turns: Rendered
    text: Rendered


@dataclass(frozen=True)
class Refused:
    """A sample that the template cannot render."""

    sample: Sample
    why: str


def rendered(student: Student, samples: Sequence[Sample] = SAMPLES) -> tuple[list[Conversation], list[Refused]]:
    """The samples as training rows of this student, and those that its template cannot render."""
    conversations: list[Conversation] = []
    refused: list[Refused] = []
    for sample in samples:
        try:
            trajectory = sample.trajectory
            turns, text = render_turns(trajectory, student), render_text(trajectory, student)
            conversations.append(Conversation(sample, turns, text))
        except RenderError as error:
            refused.append(Refused(sample, str(error)))
    return conversations, refused


def written(student: Student, *, prompt: bool = False) -> str:
    """The plain conversation, rendered. `prompt` adds the generation prompt. Raises RenderError."""
    return student.render(chat_messages(PLAIN.trajectory), [TOOL], prompt=prompt)
