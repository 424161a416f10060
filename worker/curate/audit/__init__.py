"""Finds the faults of a training set made anywhere: `python -m worker.cli audit DIR`.

Reads {"text"} rows in ChatML and {"messages"[, "tools"]} rows, one line in memory at a time.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from config.errors import CurationError, UsageError
from config.records import JsonObject
from worker.curate.audit.faults import AuditFault
from worker.curate.audit.files import counted_leaks, find_splits
from worker.curate.audit.result import Audit
from worker.curate.audit.rows import Row, read_row
from worker.curate.audit.tally import Tally
from worker.curate.jsonlines import numbered_lines, parse_object

Measure = Callable[[Row], int]  # tokens of a row as the student is trained on it; CurationError: it cannot be rendered

__all__ = ["Audit", "Measure", "audit"]


def audit(paths: Sequence[Path], *, measure: Measure | None = None, max_seq_length: int = 2048) -> Audit:
    """Read the whole set and find its faults. Raises UsageError if there is no set or no readable row in it."""
    splits = find_splits(paths)
    tally = Tally()
    for split, file in splits.items():
        tally.open(split)
        _read_split(tally, split, file, measure, max_seq_length)
    if not any(counted.rows for counted in tally.splits.values()):
        names = ", ".join(repr(str(file)) for file in splits.values())
        raise UsageError(f"no training row in {names}: rows are objects with 'text' or 'messages'")
    leaks = counted_leaks(paths)
    for pair, number in leaks.items():
        if number > 0:
            tally.findings.add_counted(
                AuditFault.COUNTED_LEAK, pair.rpartition("-")[2], number, example=f"{pair}: {number}"
            )
    tally.close()
    return Audit(splits, tally, leaks)


def _read_split(tally: Tally, split: str, file: Path, measure: Measure | None, limit: int) -> None:
    with file.open("rb") as lines:
        for number, line in numbered_lines(lines):
            try:
                row = read_row(parse_object(line))
            except ValueError as error:
                tally.findings.add(AuditFault.UNREADABLE, split, number, example=str(error))
                continue
            tally.add(split, number, row)
            if measure:
                _measure(tally, split, number, row, measure, limit)


def _measure(tally: Tally, split: str, number: int, row: Row, measure: Measure, limit: int) -> None:
    try:
        tokens = measure(row)
    except CurationError as error:
        tally.findings.add(AuditFault.BAD_CALL, split, number, example=str(error))
        return
    if tokens > limit:
        tally.findings.add(AuditFault.OVER_LENGTH, split, number, example=f"{tokens} tokens, the limit is {limit}")


def student_measure(directory: Path) -> Measure:
    """Counts tokens with the student's own tokenizer and template. Raises UsageError when it cannot be loaded."""
    from worker.student.tokenizer import Student  # loads transformers, which an audit without a student does not need

    student = Student(directory)

    def tokens(row: Row) -> int:
        if row.is_text:
            return len(student.text_ids(str(row.source["text"])))
        messages, tools = (_objects(row.source, name) for name in ("messages", "tools"))
        return len(student.ids([student.render(messages, tools)])[0])

    return tokens


def _objects(source: JsonObject, name: str) -> list[JsonObject]:
    listed = source.get(name)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
