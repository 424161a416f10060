"""The Report of an evaluation: metrics of base and adapter on the same prompts, compared with the targets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from config.atomic_files import write_text
from config.errors import FailureKind, UsageError
from config.records import Adapter, JsonObject, Record
from config.report.checkpoints import CheckpointChoice
from config.report.comparison import Comparison
from config.report.failure_causes import FailureCause
from config.report.metrics import Fraction, Metrics, Targets, Training
from config.report.outcomes import PromptOutcome
from config.report.rows import lines, markdown, markdown_table, paired
from config.report.unseen import Unseen
from config.report.verdict import TargetResult, markdown_verdict, verdict

__all__ = ["Metrics", "Report", "Targets", "Training"]

FILE = "report.json"
PAGE = "report.md"
MOST_LOST = 0.05  # share of answers lost to a limit above which the report warns
LATE = (FailureKind.TIMEOUT, FailureKind.ENDPOINT_WEDGED)  # the prompt's own time, or that of one request


class Report(Record):
    """One evaluation; `before` is the base model, `after` is the base model with the adapter."""

    schema_version: Literal[2] = 2
    run_id: str
    student: str
    """a directory or a hub id"""
    revision: str | None = Field(None, exclude_if=lambda revision: revision is None)
    """the hub's commit of the student; None for a directory"""
    adapter: str | None = None
    before: Metrics | None = None
    after: Metrics | None = None
    comparison: Comparison | None = None
    """base and adapter on the same prompts; None without an adapter"""
    unseen: Unseen | None = Field(None, exclude_if=lambda unseen: unseen is None)
    """the same for code that is not part of the run; None if no such questions were asked"""
    failure_causes: tuple[FailureCause, ...] = ()
    """of the adapter's answers, else of the base model's"""
    training: Training | None = None
    targets: Targets = Targets()
    teacher_correct: Fraction | None = None
    """the teacher's right answers, of those with an expected answer, in the run that the adapter was trained on"""
    identity: str
    """how the evaluation verified which weights answered"""
    notes: tuple[str, ...] = Field((), exclude_if=lambda notes: not notes)
    """what differs from the training, or could not be checked; one line each"""
    concurrency: int = 1
    """prompts in flight at once; it affects seconds_per_prompt"""
    checkpoints: CheckpointChoice | None = Field(None, exclude_if=lambda choice: choice is None)
    """which saved checkpoint is the adapter, and why; None if only the last one was considered"""
    max_tokens: int | None = None
    """tokens of one model answer in the evaluation"""
    outcomes: tuple[PromptOutcome, ...] = ()
    """of each prompt, in the order of the prompts"""

    def with_training(self, adapter: Adapter, *, correct: Fraction | None = None) -> Self:
        """Return a copy with the adapter's training metrics and the teacher's share of right answers."""
        return self.model_copy(update={"training": Training.of(adapter), "teacher_correct": correct})

    @property
    def verdict(self) -> tuple[TargetResult, ...]:
        """The adapter, else the base model, compared with the targets."""
        return verdict(self.after or self.before, self.training, self.targets)

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

    @property
    def warnings(self) -> tuple[str, ...]:
        """Answers that a limit took from a model, one line each."""
        return tuple(
            line
            for who, metrics in (("the base model", self.before), ("the adapter", self.after))
            if metrics
            for line in self._lost(who, metrics)
        )

    def _lost(self, who: str, metrics: Metrics) -> Iterator[str]:
        limit = f" at {self.max_tokens} tokens" if self.max_tokens else ""
        late = sum(metrics.failures.get(kind.value, 0) for kind in LATE)
        if (metrics.cut.share or 0.0) > MOST_LOST:
            yield (
                f"{metrics.cut.count} of {metrics.cut.of} answers of {who} were cut{limit}, so that right answers may "
                "have been lost; give more with --evaluate-tokens"
            )
        if late > MOST_LOST * metrics.prompts:
            yield (
                f"{late} of {metrics.prompts} answers of {who} were too late, so that right answers may have been "
                f"lost; have fewer than {self.concurrency} prompts in flight with --evaluate-concurrency"
            )

    def markdown(self) -> str:
        """The report as Markdown: a table and the identity check."""
        table = markdown(("before", "after"), lines((self.before, self.after), (None, self.training), self.targets))
        pairs = markdown_table(paired(self.comparison, ("base", "adapter"))) if self.comparison else ""
        unseen = self._unseen() if self.unseen else ""
        choice = self.checkpoints.markdown().rstrip() if self.checkpoints else ""
        about = (f"Student: {self.student_name}", f"Adapter: {self.adapter}", self.teacher, choice, self.identity)
        parts = (f"# {self.run_id}", markdown_verdict(self.verdict), table, pairs, *self.warnings, unseen, *about)
        return "\n\n".join(filter(None, (*parts, *self.notes))) + "\n"

    def _unseen(self) -> str:
        """The results on unseen code as Markdown."""
        assert self.unseen is not None
        title = f"## Code that the student never saw: {self.unseen.workspace}"
        if self.unseen.problem:
            return f"{title}\n\nNot asked: {self.unseen.problem}"
        results = lines((self.unseen.before, self.unseen.after), (None, None), self.targets)
        return f"{title}\n\n{markdown(('before', 'after'), results)}"

    def write(self, folder: Path) -> Path:
        """Write report.json and report.md, each atomically; returns the path of report.json."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / PAGE, self.markdown())
        return write_text(folder / FILE, json.dumps(self.model_dump(mode="json"), indent=2) + "\n")

    @classmethod
    def of_run(cls, run_id: str, result: JsonObject) -> Self:
        """The report that a run's evaluation stored; UsageError if another version of applejack wrote it."""
        try:
            return cls.model_validate(result)
        except ValidationError as error:
            raise UsageError(
                f"the report of run {run_id!r} is of another version of applejack; "
                f"`applejack resubmit {run_id} --stage evaluate` makes it anew"
            ) from error

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
