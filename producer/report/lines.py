"""Format a Report as a terminal table, two of them side by side, or as an HTML page (`html`)."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.report.model import Report
from config.report.rows import Line, Value, lines
from producer.report.page import html
from producer.report.verdict_table import format_verdict

__all__ = ["compare", "format_table", "html"]

STYLES = {True: "green", False: "red", None: ""}  # target reached, missed, or none
MARKS = {True: " ✓", False: " ✗", None: ""}  # readable without colours


def format_table(report: Report) -> RenderableType:
    """The verdict, the scores of both models beside the targets, and how the weights that answered were verified."""
    rows = lines((report.before, report.after), (None, report.training), report.targets)
    about = (f"student {report.student_name}", f"adapter {report.adapter or 'none'}", report.teacher, report.identity)
    table = _table(report.run_id, ("before", "after"), rows)
    return Group(format_verdict(report), table, Text("\n".join(filter(None, about)), style="dim"))


def compare(first: Report, second: Report) -> RenderableType:
    """Table of two reports side by side, beside the targets of the first."""
    names = [f"{report.run_id}\n{when}" for report in (first, second) for when in ("before", "after")]
    scores = (first.before, first.after, second.before, second.after)
    trainings = (None, first.training, None, second.training)
    return _table(f"{first.run_id} and {second.run_id}", names, lines(scores, trainings, first.targets))


def _table(title: str, names: Sequence[str], rows: Sequence[Line]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    table.add_column("measure")
    table.add_column("target", justify="right", style="dim")
    for name in names:
        table.add_column(Text(name), justify="right")
    for line in rows:
        table.add_row(line.measure, line.target, *(_cell(value) for value in line.values))
    return table


def _cell(value: Value) -> Text:
    return Text(value.text + MARKS[value.reached], style=STYLES[value.reached])
