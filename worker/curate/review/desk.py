"""One person's session of marking: the examples to mark in their order, and the marks that are saved."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from config.records import JsonObject
from worker.curate.review.examples import Example
from worker.curate.review.marks import Mark, read_marks, save_mark

MAX_NOTE = 4000  # characters


class Entry(BaseModel):
    """What the page sends: a mark of the example with this number in the session."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0)
    mark: Literal["right", "wrong"] | None
    note: str = Field("", max_length=MAX_NOTE)
    blind: bool
    """whether the verdict was hidden when the person judged"""


class Desk:
    """Saves marks of one person. The methods may be called from several threads."""

    def __init__(self, file: Path, examples: Sequence[Example], *, by: str, sizes: Counter[bool]) -> None:
        self.file = file
        self._examples = examples
        self._by = by
        self._sizes = sizes
        self._lock = Lock()

    def marks(self) -> list[JsonObject]:
        """This person's saved marks: number, mark, note. Raises UsageError if the file is damaged."""
        with self._lock:
            saved = {(mark.job_id, mark.content): mark for mark in read_marks(self.file) if mark.by == self._by}
        return [
            {"number": number, "mark": mark.mark, "note": mark.note}
            for number, example in enumerate(self._examples)
            if (mark := saved.get((example.job_id, example.content)) or saved.get((example.job_id, None)))
        ]

    def save(self, entry: Entry) -> None:
        """Save a mark. Raises UsageError if the file cannot be written, IndexError if there is no such example."""
        example = self._examples[entry.number]
        mark = Mark(
            job_id=example.job_id,
            run_id=example.run_id,
            content=example.content,
            mark=entry.mark,
            by=self._by,
            kept=example.kept,
            of=self._sizes[bool(example.kept)],
            blind=entry.blind,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            note=entry.note.strip(),
        )
        with self._lock:
            save_mark(self.file, mark)

    def finish(self) -> int:
        """Wait for a save in progress; the number of examples of the session that this person has judged."""
        return sum(mark["mark"] is not None for mark in self.marks())


def draw(examples: Iterable[Example], *, sample: int, seed: int) -> list[Example]:
    """The examples to mark, in random order: half of `sample` kept and half rejected.

    If one side has too few, the other one gives more. The order depends on the seed and the content only, so that two
    people get the same examples and a larger sample contains the smaller one.
    """
    shuffled = sorted((e for e in examples if e.kept is not None), key=lambda example: _order(example, f"{seed} draw"))
    kept, rejected = ([example for example in shuffled if example.kept is side] for side in (True, False))
    from_kept = min(len(kept), max((sample + 1) // 2, sample - len(rejected)))
    chosen = [*kept[:from_kept], *rejected[: sample - from_kept]]
    # Shuffled again: in the first order, the side with more examples is denser, and would come first.
    return sorted(chosen, key=lambda example: _order(example, f"{seed} show"))


def _order(example: Example, salt: str) -> bytes:
    return hashlib.sha256(f"{salt} {example.job_id} {example.run_id} {example.content}".encode()).digest()
