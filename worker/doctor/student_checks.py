"""The doctor's look at a student: template, markers, stop token, what the loss is on, whether its calls are read."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.errors import UsageError
from config.records import JsonObject, Spec
from worker.curate.mask import losses, total
from worker.doctor import notation, readback
from worker.doctor.conversations import TOOL, Conversation, Refused, rendered
from worker.student.tokenizer import REMEDY, Student

MAX_SEQ_LENGTH: int = Spec.model_fields["max_seq_length"].default
LOSS_REMEDY = "use a bundled template (worker/student/templates), and check eos_token_id"
TEXT_REMEDY = (
    "keep the tokenizer from adding tokens of its own around a text (add_bos_token in tokenizer_config.json, "
    "post_processor in tokenizer.json), or train on `turns`"
)


class StudentDoctor:
    """The checks of one student's directory; nothing is changed and no weights are run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def checks(self) -> list[Check]:
        """What is looked at; what needs a usable template says so when there is none."""
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
        """The student with a template that expresses tools; CannotCheckError without."""
        try:
            student = Student(self.directory)
            student.require_tools()
        except UsageError as error:
            raise CannotCheckError("its tokenizer or chat template cannot be used, see that finding") from error
        return student

    @cached_property
    def rendered(self) -> tuple[list[Conversation], list[Refused]]:
        """The conversations as the template writes them, and those it refuses."""
        return rendered(self.student)

    @property
    def conversations(self) -> list[Conversation]:
        """Those that can be looked at; CannotCheckError without any."""
        if not self.rendered[0]:
            raise CannotCheckError("the template refuses every conversation, see that finding")
        return self.rendered[0]

    @cached_property
    def config(self) -> JsonObject:
        """config.json, {} when it cannot be read."""
        try:
            found = json.loads((self.directory / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def template(self) -> Iterator[Diagnosis]:
        """The tokenizer loads, and the template shows tools, calls, results and answers and refuses none of them."""
        try:
            Student(self.directory).require_tools()
        except UsageError as error:
            yield Diagnosis("student_template", "error", str(error).removesuffix(f"; {REMEDY}"), REMEDY)
            return
        made, refused = self.rendered
        if refused:
            yield Diagnosis(
                "template_refuses",
                "error",
                f"the template refuses {len(refused)} of {len(made) + len(refused)} conversations "
                f"({', '.join(one.sample.what for one in refused)}): {refused[0].why}",
                "correct the template, or take a bundled one (worker/student/templates)",
            )

    @cached_property
    def turn_faults(self) -> dict[str, list[str]]:
        """What is wrong with the loss of `turns` rows, and of which conversations."""
        counted = {
            one.sample.what: losses(one.turns, self.student, max_seq_length=MAX_SEQ_LENGTH)
            for one in self.conversations
        }
        which = [what for what, loss in counted.items() if loss.faults(foreign_allowed=False)]
        return dict.fromkeys(total(counted.values()).faults(foreign_allowed=False), which)

    def loss(self) -> Iterator[Diagnosis]:
        """A `turns` row has the loss on the assistant's words, stop token included, behind the served prompt."""
        for fault, which in self.turn_faults.items():
            every = len(which) == len(self.conversations)
            message = "every conversation" if every else f"some conversations ({', '.join(which)})"
            yield Diagnosis("loss", "error", f"in the `turns` rows of {message}, {fault}", LOSS_REMEDY)

    def text_rows(self) -> Iterator[Diagnosis]:
        """A `text` row is the served conversation, token for token, and ends exactly at its stop token."""
        one = self.conversations[0].text
        ids, eos, text = one.text_ids, self.student.eos_ids, str(one.rows[0]["text"])
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
                f"mlx_lm adds {self.student.decode([ids[-1]])!r} behind the {self.student.decode([ids[-2]])!r} that "
                "ends a `text` row: the student learns to say both",
                "set eos_token in tokenizer_config.json to the token that ends a turn, or train on `turns`",
            )
        counted = total(losses(one.text, self.student, max_seq_length=MAX_SEQ_LENGTH) for one in self.conversations)
        for fault in counted.faults(foreign_allowed=True):
            if fault not in self.turn_faults:  # the finding `loss` tells the others, of both formats
                yield Diagnosis("text_loss", "error", f"in `text` rows, and not in `turns` rows, {fault}", TEXT_REMEDY)

    def context(self) -> Iterator[Diagnosis]:
        """The rows of a run fit the model."""
        size = self.config.get("max_position_embeddings")
        if not isinstance(size, int):
            raise CannotCheckError("config.json names no max_position_embeddings")
        if size < MAX_SEQ_LENGTH:
            yield Diagnosis(
                "student_context",
                "warning",
                f"the student has a context of {size} tokens, and rows may have {MAX_SEQ_LENGTH}",
                f"submit with --max-seq-length {size} or less, or take another student",
            )
