"""The Report of an evaluation: metrics of base and adapter on the same prompts, compared with the targets."""

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from config.atomic_files import write_text
from config.errors import UsageError
from config.records import Adapter, Record
from config.report.checkpoints import CheckpointChoice
from config.report.metrics import Fraction, Metrics, Targets, Training
from config.report.rows import lines, markdown

__all__ = ["Metrics", "Report", "Targets", "Training"]

FILE = "report.json"
PAGE = "report.md"


class Report(Record):
    """One evaluation; `before` is the base model, `after` is the base model with the adapter."""

    schema_version: Literal[1] = 1
    run_id: str
    student: str
    """a directory or a hub id"""
    revision: str | None = Field(None, exclude_if=lambda revision: revision is None)
    """the hub's commit of the student; None for a directory"""
    adapter: str | None = None
    before: Metrics | None = None
    after: Metrics | None = None
    training: Training | None = None
    targets: Targets = Targets()
    teacher_correct: Fraction | None = None
    """the teacher's right answers, of those with an expected answer, in the run that the adapter was trained on"""
    identity: str
    """how the evaluation verified which weights answered"""
    concurrency: int = 1
    """prompts in flight at once; it affects seconds_per_prompt"""
    checkpoints: CheckpointChoice | None = Field(None, exclude_if=lambda choice: choice is None)
    """which saved checkpoint is the adapter, and why; None if only the last one was considered"""

    def with_training(
        self, adapter: Adapter, *, correct: Fraction | None = None, checkpoints: CheckpointChoice | None = None
    ) -> Self:
        """Return a copy with the adapter's training metrics, its choice, and the teacher's share of right answers."""
        about = {"training": Training.of(adapter), "teacher_correct": correct, "checkpoints": checkpoints}
        return self.model_copy(update=about)

    @property
    def student_name(self) -> str:
        """The student, with its revision if it is from the hub."""
        return f"{self.student} (revision {self.revision})" if self.revision else self.student

    @property
    def teacher(self) -> str:
        """The teacher's right answers as text; "" if none were graded."""
        if self.teacher_correct is None:
            return ""
        return f"The teacher's answers: correct: {self.teacher_correct.count} of {self.teacher_correct.of}"

    def markdown(self) -> str:
        """The report as Markdown: a table and the identity check."""
        table = markdown(("before", "after"), lines((self.before, self.after), (None, self.training), self.targets))
        choice = self.checkpoints.markdown().rstrip() if self.checkpoints else ""
        about = (f"Student: {self.student_name}", f"Adapter: {self.adapter}", self.teacher, choice, self.identity)
        return "\n\n".join(filter(None, (f"# {self.run_id}", table, *about))) + "\n"

    def write(self, folder: Path) -> Path:
        """Write report.json and report.md, each atomically; returns the path of report.json."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / PAGE, self.markdown())
        return write_text(folder / FILE, json.dumps(self.model_dump(mode="json"), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the report in a folder or file; UsageError describes what is invalid."""
        file = path / FILE if path.is_dir() else path
        try:
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"there is no report at {str(file)!r}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            location = ".".join(map(str, first["loc"])) or "the file"
            raise UsageError(f"{str(file)!r} is not a report: {location}: {first['msg']}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{str(file)!r} is not a report: not UTF-8") from error
