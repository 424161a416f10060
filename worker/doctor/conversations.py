"""The doctor's conversations: short and sound, with the calls that templates and parsers get wrong most easily."""

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
    """One assistant turn; `calls` is what must be read back from it."""

    what: str
    content: str
    calls: tuple[JsonObject, ...]

    @property
    def trajectory(self) -> Trajectory:
        """The turn in a conversation: behind it, when it calls, come the results and an answer."""
        made = tuple(
            ToolCall(id=f"probe{number:05d}", name=str(one["name"]), arguments=cast(JsonObject, one["arguments"]))
            for number, one in enumerate(self.calls)
        )
        results = [Message(role="tool", content="12", tool_call_id=one.id, name=one.name) for one in made]
        return Trajectory(
            run_id="doctor",
            job_id="000001-doctor00",
            prompt=QUESTION,
            system_prompt="You look before you answer.",
            tools=(TOOL,),
            messages=(
                Message(role="user", content=QUESTION),
                Message(role="assistant", content=self.content, tool_calls=made),
                *results,
                *((Message(role="assistant", content=ANSWER),) if made else ()),
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
    Sample("a call behind a sentence", "I look first.", (call(pattern="class"),)),
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
    """A sample as the rows of both formats."""

    sample: Sample
    turns: Rendered
    text: Rendered


@dataclass(frozen=True)
class Refused:
    """A sample that the template cannot express."""

    sample: Sample
    why: str


def rendered(student: Student, samples: Sequence[Sample] = SAMPLES) -> tuple[list[Conversation], list[Refused]]:
    """The samples as this student is trained on them, and those that its template refuses."""
    made: list[Conversation] = []
    refused: list[Refused] = []
    for sample in samples:
        try:
            trajectory = sample.trajectory
            made.append(Conversation(sample, render_turns(trajectory, student), render_text(trajectory, student)))
        except RenderError as error:
            refused.append(Refused(sample, str(error)))
    return made, refused


def written(student: Student, *, prompt: bool = False) -> str:
    """The plain conversation as the template writes it; `prompt` adds the generation prompt. Raises RenderError."""
    return student.render(chat_messages(PLAIN.trajectory), [TOOL], prompt=prompt)
