"""The tracker as Markdown: text before and after is kept, the part between two markers is written anew."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from config.atomic_files import write_text, writing
from config.errors import UsageError
from config.report.metrics import Rate, Spread
from producer.report.tracker.changes import changed_settings, shifts
from producer.report.tracker.row import TrackerRow

BEGIN = (
    "<!-- applejack tracker: begin (written by `applejack report RUN --tracker FILE`; your text belongs outside) -->"
)
END = "<!-- applejack tracker: end -->"
ROW = "<!-- applejack tracker row: "
ROW_END = " -->"
TITLE = "# Model performance\n\nOne row for each trained adapter, newest last.\n\n"
COLUMNS = (
    *("date", "run", "student", "dataset", "rows", "iterations", "right from a real result", "right", "loops"),
    *("invented", "final answer", "calls", "seconds", "memory"),
)
NOTHING = "-"


@dataclass(frozen=True)
class Tracker:
    """The rows of a tracker, oldest first, and the text around them."""

    head: str
    rows: tuple[TrackerRow, ...]
    tail: str

    def with_row(self, row: TrackerRow) -> "Tracker":
        """The tracker with the row added; it replaces the row of the same adapter of the same run."""
        others = [one for one in self.rows if one.key != row.key]
        return Tracker(self.head, tuple(sorted((*others, row), key=lambda one: (one.date, one.key))), self.tail)

    def text(self) -> str:
        """The file's content."""
        return f"{self.head}{BEGIN}\n\n{_body(self.rows)}\n{END}{self.tail}"


def add_row(file: Path, row: TrackerRow) -> Tracker:
    """Add or replace a row in the file, which is made if it does not exist; returns the tracker.

    UsageError, before any change, if the file is not a tracker or cannot be written.
    """
    with writing(file):
        tracker = read(file).with_row(row)
        write_text(file.resolve(), tracker.text())  # a link stays a link
    return tracker


def read(file: Path) -> Tracker:
    """Read a tracker; an empty one if the file does not exist or is empty. UsageError if it is not a tracker."""
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(file)!r} is not a tracker: not UTF-8; choose another file") from error
    if not text.strip():
        return Tracker(TITLE, (), "\n")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(
            f"{str(file)!r} is not a tracker: it does not hold one pair of the markers {BEGIN[:29]!r} and {END!r}; "
            "choose another file. Nothing was changed"
        )
    head, rest = text.split(BEGIN)
    body, tail = rest.split(END)
    first = head.count("\n") + 1
    return Tracker(head, tuple(_rows(file, body.splitlines(), first)), tail)


def _rows(file: Path, lines: Iterable[str], first: int) -> Iterable[TrackerRow]:
    for number, line in enumerate(lines, first):
        if not line.startswith(ROW):
            continue
        try:
            yield TrackerRow.model_validate_json(line.removeprefix(ROW).removesuffix(ROW_END))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise UsageError(
                f"line {number} of {str(file)!r} is not a row of a tracker: {fault['msg']}; restore or remove it. "
                "Nothing was changed"
            ) from error


def _body(rows: Sequence[TrackerRow]) -> str:
    head = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"
    table = "".join(f"| {' | '.join(map(_escaped, _cells(row)))} |\n" for row in rows)
    changes = "".join(_changes(before, after) for before, after in pairwise(rows))
    stored = "".join(f"{ROW}{_hidden(row)}{ROW_END}\n" for row in rows)
    note = "Ranges are 95% intervals (Wilson). Calls and seconds: median (p90).\n\n"
    title = "## What changed since the row before\n\n" if changes else ""
    return f"{head}{table}\n{note}{title}{changes}{stored}"


def _cells(row: TrackerRow) -> tuple[str, ...]:
    rates = row.rates
    student = f"{row.student}@{row.revision[:8]}" if row.revision else row.student
    invented = rates.invented_turn if _more(rates.invented_turn, rates.invented_result) else rates.invented_result
    return (
        row.date,
        f"{row.run_id} ({row.adapter[:8]})" if row.adapter else row.run_id,
        student,
        row.dataset[:12] or NOTHING,
        _number(row.rows),
        _number(row.iterations),
        _rate(rates.grounded_correct),
        _rate(rates.correct),
        _rate(rates.loop),
        _rate(invented),
        _rate(rates.final_answer),
        _spread(row.calls),
        _spread(row.seconds),
        f"{row.peak_memory_gb:.2f} GB" if row.peak_memory_gb is not None else NOTHING,
    )


def _changes(before: TrackerRow, after: TrackerRow) -> str:
    changed = changed_settings(before, after) or ["nothing that is recorded"]
    lines = [f"changed: {change}" for change in changed]
    lines += [shift.sentence for shift in shifts(before, after)] or ["no score got better or worse"]
    title = f"### {_escaped(after.run_id)}, {after.date}, after {_escaped(before.run_id)}\n\n"
    return title + "".join(f"- {_escaped(line)}\n" for line in lines) + "\n"


def _hidden(row: TrackerRow) -> str:
    """The row as JSON. What would end the comment occurs in strings only, where it is escaped."""
    text = json.dumps(row.model_dump(mode="json", round_trip=True), separators=(",", ":"))
    return text.replace("--", "-\\u002d").replace(">", "\\u003e").replace("<", "\\u003c")


def _escaped(text: str) -> str:
    """Text of a table cell or a list item: no markup, no line break."""
    plain = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
    for character in "\\|`*[]":
        plain = plain.replace(character, f"\\{character}")
    return plain


def _more(first: Rate, second: Rate) -> bool:
    return (first.share or 0.0) >= (second.share or 0.0)


def _rate(rate: Rate) -> str:
    if rate.interval is None:
        return NOTHING
    low, high = rate.interval
    return f"{rate.count} of {rate.of} ({100 * low:.0f}-{100 * high:.0f}%)"


def _spread(spread: Spread | None) -> str:
    return f"{spread.median:.3g} ({spread.p90:.3g})" if spread else NOTHING


def _number(value: int | None) -> str:
    return NOTHING if value is None else str(value)
