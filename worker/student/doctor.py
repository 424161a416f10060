"""The doctor's look at a student: template, markers, stop token, what the loss is on, whether its calls are read."""

import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from config.errors import UsageError
from config.records import JsonObject, Message, Spec, ToolCall, Trajectory
from config.traps import CannotLookError, Check, Trap
from worker.curate.chat import chat_messages
from worker.curate.mask import losses
from worker.curate.render import render_text, render_turns
from worker.curate.tokenizer import REMEDY, Student
from worker.student import embeddings, readback

TURN_MARKER = re.compile(r"<\|[^<>|\s]+\|>")
TAG_PAIRS = (("<tool_call>", "</tool_call>"), ("<tool_response>", "</tool_response>"))
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
UNTRAINED = 0.99  # cosine of two embeddings that training has never pulled apart; trained pairs are far below
STOP_REMEDY = "set eos_token_id in config.json and generation_config.json to that token's id (a list may hold several)"
FENCE_REMEDY = (
    "copy worker/student/templates/qwen25_coder_fenced.jinja into its directory as chat_template.jinja and set "
    '"tool_parser_type": "fenced_json" in tokenizer_config.json; or rename the two tokens in tokenizer.json, so that '
    "the tags are spelt out"
)


class StudentDoctor:
    """The checks of one student's directory; nothing is changed and no weights are run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def checks(self) -> list[Check]:
        """What is looked at; what needs a usable template says so when there is none."""
        return [
            Check("student: tokenizer and template", self.template),
            Check("student: markers", self.markers),
            Check("student: stop token", self.stop),
            Check("student: loss", self.loss),
            Check("student: text rows", self.text_rows),
            Check("student: tool parser", self.parser),
            Check("student: call notation", self.notation),
            Check("student: context", self.context),
        ]

    @cached_property
    def student(self) -> Student:
        """The student with a template that expresses tools; CannotLookError without."""
        try:
            student = Student(self.directory)
            student.require_tools()
        except UsageError as error:
            raise CannotLookError("its tokenizer or chat template cannot be used, see that finding") from error
        return student

    @cached_property
    def config(self) -> JsonObject:
        """config.json, {} when it cannot be read."""
        try:
            found = json.loads((self.directory / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def template(self) -> Iterator[Trap]:
        """The tokenizer loads, and the template shows tools, calls, results and answers."""
        try:
            Student(self.directory).require_tools()
        except UsageError as error:
            yield Trap("student_template", "error", str(error).removesuffix(f"; {REMEDY}"), REMEDY)

    def markers(self) -> Iterator[Trap]:
        """Turn markers are one token each; the two tags of a pair are both one token or both spelt out."""
        text = self.student.render(chat(), [TOOL], prompt=True)
        sizes = {marker: self.tokens(marker) for marker in sorted(set(TURN_MARKER.findall(text)))}
        for marker, size in sizes.items():
            if size != 1:
                yield Trap(
                    "marker_split",
                    "error",
                    f"the template's marker {marker!r} is {size} tokens of this tokenizer, not one",
                    "take the tokenizer that belongs to the template, or add the marker as a special token",
                )
        for opening, closing in TAG_PAIRS:
            if opening in text and (self.tokens(opening) == 1) != (self.tokens(closing) == 1):
                yield Trap(
                    "marker_pair",
                    "error",
                    f"{opening!r} is {self.tokens(opening)} tokens and {closing!r} {self.tokens(closing)}: only one of "
                    "the pair is a token",
                    "make both of them tokens in tokenizer.json, or neither",
                )

    def stop(self) -> Iterator[Trap]:
        """What ends an assistant turn is what the server stops at."""
        rendered = self.student.render(chat(), [TOOL])
        behind = rendered.rpartition(ANSWER)[2].strip()
        if not behind:
            yield Trap(
                "no_end_of_turn", "error", "the template writes nothing behind an answer: no turn ever ends", REMEDY
            )
            return
        first = self.student.ids([behind])[0][0]
        if first not in self.student.eos_ids:
            yield Trap(
                "end_of_turn_is_no_eos",
                "error",
                f"a turn ends with {self.student.decode([first])!r} (id {first}), but the server stops at "
                f"{sorted(self.student.eos_texts)} only: served, it writes the user's next turn as well",
                STOP_REMEDY,
            )

    def loss(self) -> Iterator[Trap]:
        """A `turns` row has the loss on the assistant's words, stop token included, behind the served prompt."""
        rendered = render_turns(trajectory(), self.student)
        counted = losses(rendered, self.student, max_seq_length=Spec.model_fields["max_seq_length"].default)
        for fault in counted.faults(foreign_allowed=False):
            yield Trap(
                "loss",
                "error",
                f"in a `turns` row of a short conversation, {fault}",
                "use a bundled template (worker/student/templates), and check eos_token_id",
            )

    def text_rows(self) -> Iterator[Trap]:
        """A `text` row ends exactly at its stop token, and mlx_lm adds no second one."""
        rendered = render_text(trajectory(), self.student)
        ids, eos = rendered.text_ids, self.student.eos_ids
        text = str(rendered.rows[0]["text"])
        if not any(text.endswith(stop) for stop in self.student.eos_texts):
            yield Trap(
                "text_row_end",
                "error",
                f"a `text` row ends with {text[-20:]!r}, not with a stop token ({sorted(self.student.eos_texts)})",
                STOP_REMEDY,
            )
        elif len(ids) > 1 and ids[-1] in eos and ids[-2] in eos:
            yield Trap(
                "second_eos",
                "warning",
                f"mlx_lm adds {self.student.decode([ids[-1]])!r} behind the {self.student.decode([ids[-2]])!r} that "
                "ends a `text` row: the student learns to say both",
                "set eos_token in tokenizer_config.json to the token that ends a turn, or train on `turns`",
            )

    def parser(self) -> Iterator[Trap]:
        """The server's parser makes of the template's text the calls that went in."""
        yield from readback.faults(self.student, TOOL)

    def notation(self) -> Iterator[Trap]:
        """Tags the base model never learnt are hardly taught by LoRA: Qwen2.5-Coder, every size, is the known case."""
        opening, closing = TAG_PAIRS[0]
        if opening not in self.student.render(chat(), [TOOL]) or self.tokens(opening) != 1:
            return
        names = " ".join([self.directory.resolve().name, str(self.config.get("_name_or_path", ""))]).lower()
        if "qwen2.5-coder" in names or "qwen25-coder" in names:
            yield Trap(
                "qwen25_coder_calls",
                "warning",
                f"Qwen2.5-Coder writes fenced json whatever its template says, never {opening!r}",
                FENCE_REMEDY,
            )
            return
        ids = [self.student.ids([tag])[0][0] for tag in (opening, closing) if self.tokens(tag) == 1]
        if len(ids) == len(TAG_PAIRS[0]) and embeddings.cosine(self.directory, *ids) > UNTRAINED:
            yield Trap(
                "untrained_tags",
                "warning",
                f"the embeddings of {opening!r} and {closing!r} are the same: the model was never trained on them",
                FENCE_REMEDY,
            )

    def context(self) -> Iterator[Trap]:
        """The rows of a run fit the model."""
        size, wanted = self.config.get("max_position_embeddings"), Spec.model_fields["max_seq_length"].default
        if not isinstance(size, int):
            raise CannotLookError("config.json names no max_position_embeddings")
        if size < wanted:
            yield Trap(
                "student_context",
                "warning",
                f"the student has a context of {size} tokens, and rows may have {wanted}",
                f"submit with --max-seq-length {size} or less, or take another student",
            )

    def tokens(self, text: str) -> int:
        """How many tokens a text is."""
        return len(self.student.ids([text])[0])


def trajectory() -> Trajectory:
    """A short sound conversation: a question, a call, its result, an answer."""
    call = ToolCall(id="probe00000", name="look_up", arguments={"pattern": "class"})
    return Trajectory(
        run_id="doctor",
        job_id="000001-doctor00",
        prompt="How many are there?",
        system_prompt="You look before you answer.",
        tools=(TOOL,),
        messages=(
            Message(role="user", content="How many are there?"),
            Message(role="assistant", content="", tool_calls=(call,)),
            Message(role="tool", tool_call_id=call.id, name=call.name, content="12"),
            Message(role="assistant", content=ANSWER),
        ),
        outcome="completed",
    )


def chat() -> list[JsonObject]:
    """The same as the template gets it."""
    return chat_messages(trajectory())
