"""People's marks: whether an example deserves to be in the dataset. DATASET.marks.jsonl holds them, one a line.

    {"job_id": "000017-1f3a9c02", "mark": "right", "by": "ann", "note": "..."}

The file is beside the dataset directory, because curation and `fetch` replace that directory. Only `job_id` and `mark`
are required, so that marks can be written by hand. Other lines are never changed when a mark is saved.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.atomic_files import write_lines, writing
from config.errors import UsageError
from config.records import Trajectory
from worker.curate.jsonlines import first_error, numbered_lines, parse_object

DIGITS = 16  # hex digits of a content hash: 64 bits, to notice a change


class Mark(BaseModel):
    """One person's judgement of one example. Other fields on a line are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    job_id: str = Field(min_length=1)
    """Id of the job."""
    run_id: str | None = None
    """Id of the run."""
    content: str | None = None
    """Content hash of the example that the person saw; without it, the mark counts for any content."""
    mark: Literal["right", "wrong"] | None = Field()
    """Right: it deserves to be in the dataset. None: a note without a judgement."""
    by: str = Field("unknown", min_length=1)
    """Name of the person."""
    kept: bool | None = None
    """Verdict of curation when it was marked."""
    of: int | None = Field(None, ge=1)
    """Number of examples with that verdict at that time."""
    blind: bool | None = None
    """Whether the verdict was hidden from the person."""
    at: str | None = None
    """Time, ISO 8601 in UTC."""
    note: str = ""
    """Text for other people."""

    @property
    def key(self) -> tuple[str, str, str | None]:
        """A person has one mark for each content of a job; the last one counts."""
        return self.by, self.job_id, self.content


def content_hash(trajectory: Trajectory) -> str:
    """Hash of what a person judges: question, messages and whether it completed; not of run, attempt or settings.

    Without defaults, so that a field that a later version adds to the messages does not change it.
    """
    judged = trajectory.model_dump_json(include={"prompt", "messages", "outcome"}, exclude_defaults=True)
    return hashlib.sha256(judged.encode()).hexdigest()[:DIGITS]


def marks_file(dataset: Path) -> Path:
    """The marks of a dataset directory: DATASET.marks.jsonl, beside it."""
    place = dataset.resolve()
    return place.with_name(f"{place.name}.marks.jsonl")


def read_marks(file: Path) -> list[Mark]:
    """The marks of all people; of several with one key, the last. No file, no marks.

    Raises UsageError, with file and line number, for a line that is not a mark.
    """
    return list({mark.key: mark for _, mark in _lines(file)}.values())


def save_mark(file: Path, mark: Mark) -> None:
    """Replace this person's mark of the example; without judgement and note, remove it.

    The file is replaced atomically, under a lock, so that several people can mark at once. Raises UsageError.
    """
    with writing(file), _locked(file.parent):
        lines = [line for line, other in _lines(file) if other.key != mark.key]
        if mark.mark or mark.note:
            lines.append(json.dumps(mark.model_dump(mode="json"), ensure_ascii=False))
        write_lines(file, lines)


def _lines(file: Path) -> Iterator[tuple[str, Mark]]:
    """Each line as it is in the file, with its mark."""
    if not file.exists():
        return
    with file.open("rb") as source:
        for number, line in numbered_lines(source):
            try:
                mark = Mark.model_validate(parse_object(line))
            except ValueError as error:
                problem = first_error(error) if isinstance(error, ValidationError) else str(error)
                raise UsageError(f"{file}:{number} is not a mark: {problem}; correct or remove the line") from error
            yield line.decode("utf-8"), mark


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for other writers of marks in this folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
