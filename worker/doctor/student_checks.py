"""Checks of a student: template, markers, stop token, loss mask, and whether the server parses its calls."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.errors import UsageError
from config.records import JsonObject, Spec
from worker.curate.loss_mask import losses, total
from worker.doctor import notation, readback
from worker.doctor.conversations import TOOL, Conversation, Refused, rendered
from worker.student.tokenizer import REMEDY, Student

MAX_SEQ_LENGTH: int = Spec.model_fields["max_seq_length"].default
LOSS_REMEDY = "use a bundled template (worker/student/templates), and check eos_token_id"
TEXT_REMEDY = (
    "stop the tokenizer from adding tokens around a text (add_bos_token in tokenizer_config.json, "
    "post_processor in tokenizer.json), or train on `turns`"
)


class StudentDoctor:
    """The checks of one student's directory. They change nothing and run no weights."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def checks(self) -> list[Check]:
        """The checks. Those that need a usable template raise CannotCheckError without one."""
        return [
            Check("student: tokenizer and template", self.template),
            Check("student: markers", lambda: notation.markers(self.student)),
            Check("student: stop token", lambda: notation.stop(self.student)),
            Check("student: loss", self.loss),
            Check("student: text rows", self.text_rows),
            Check("student: tool parser", lambda: readback.faults(self.student, TOOL, self.conversations)),
            Check("student: call notation", lambda: notation.tags(self.student, self.config)),
            Check("student: context", self.context),
        ]

    @cached_property
    def student(self) -> Student:
        """The student. Raises CannotCheckError if its template does not support tools."""
        try:
            student = Student(self.directory)
            student.require_tools()
        except UsageError as error:
            raise CannotCheckError("its tokenizer or chat template is unusable; see that finding") from error
        return student

    @cached_property
    def rendered(self) -> tuple[list[Conversation], list[Refused]]:
        """The rendered conversations, and those that the template cannot render."""
        return rendered(self.student)

    @property
    def conversations(self) -> list[Conversation]:
        """The conversations that were rendered. Raises CannotCheckError if there are none."""
        if not self.rendered[0]:
            raise CannotCheckError("the template cannot render any conversation; see that finding")
        return self.rendered[0]

    @cached_property
    def config(self) -> JsonObject:
        """config.json; {} if it cannot be read."""
        try:
            found = json.loads((self.directory / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def template(self) -> Iterator[Diagnosis]:
        """The tokenizer loads, and the template renders tools, calls, results and answers."""
        try:
            Student(self.directory).require_tools()
        except UsageError as error:
            yield Diagnosis("student_template", "error", str(error).removesuffix(f"; {REMEDY}"), REMEDY)
            return
        conversations, refused = self.rendered
        if refused:
            yield Diagnosis(
                "template_refuses",
                "error",
                f"the template cannot render {len(refused)} of {len(conversations) + len(refused)} conversations "
                f"({', '.join(conversation.sample.what for conversation in refused)}): {refused[0].why}",
                "correct the template, or use a bundled one (worker/student/templates)",
            )

    @cached_property
    def turn_faults(self) -> dict[str, list[str]]:
        """Faults of the loss mask of `turns` rows, each with the names of the conversations that have it."""
        counted = {
            conversation.sample.what: losses(conversation.turns, self.student, max_seq_length=MAX_SEQ_LENGTH)
            for conversation in self.conversations
        }
        names = [what for what, loss in counted.items() if loss.faults(foreign_allowed=False)]
        return dict.fromkeys(total(counted.values()).faults(foreign_allowed=False), names)

    def loss(self) -> Iterator[Diagnosis]:
        """In a `turns` row the loss covers the assistant's tokens after the served prompt, including the stop token."""
        for fault, names in self.turn_faults.items():
            every = len(names) == len(self.conversations)
            affected = "every conversation" if every else f"some conversations ({', '.join(names)})"
            yield Diagnosis("loss", "error", f"in the `turns` rows of {affected}, {fault}", LOSS_REMEDY)

    def text_rows(self) -> Iterator[Diagnosis]:
        """A `text` row equals the served conversation, token for token, and ends at its stop token."""
        row = self.conversations[0].text
        ids, eos, text = row.text_ids, self.student.eos_ids, str(row.rows[0]["text"])
        if not any(text.endswith(stop) for stop in self.student.eos_texts):
            yield Diagnosis(
                "text_row_end",
                "error",
                f"a `text` row ends with {text[-20:]!r}, not with a stop token ({sorted(self.student.eos_texts)})",
                notation.STOP_REMEDY,
            )
        elif len(ids) > 1 and ids[-1] in eos and ids[-2] in eos:
            yield Diagnosis(
                "second_eos",
                "warning",
                f"mlx_lm adds {self.student.decode([ids[-1]])!r} after the {self.student.decode([ids[-2]])!r} that "
                "ends a `text` row, so the student learns to write both",
                "set eos_token in tokenizer_config.json to the token that ends a turn, or train on `turns`",
            )
        counted = total(
            losses(conversation.text, self.student, max_seq_length=MAX_SEQ_LENGTH)
            for conversation in self.conversations
        )
        for fault in counted.faults(foreign_allowed=True):
            if fault not in self.turn_faults:  # the finding `loss` covers faults of both formats
                yield Diagnosis("text_loss", "error", f"in `text` rows, but not in `turns` rows, {fault}", TEXT_REMEDY)

    def context(self) -> Iterator[Diagnosis]:
        """The rows of a run fit the model's context."""
        size = self.config.get("max_position_embeddings")
        if not isinstance(size, int):
            raise CannotCheckError("config.json has no max_position_embeddings")
        if size < MAX_SEQ_LENGTH:
            yield Diagnosis(
                "student_context",
                "warning",
                f"the student has a context of {size} tokens, but rows may have {MAX_SEQ_LENGTH}",
                f"submit with --max-seq-length {size} or less, or use another student",
            )
