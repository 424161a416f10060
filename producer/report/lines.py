"""A Report as a terminal's table, and two of them side by side; `html` makes the page."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.report.model import Report
from config.report.rows import Line, Value, lines
from producer.report.page import html

__all__ = ["compare", "format_table", "html"]

STYLES = {True: "green", False: "red", None: ""}  # of a value beside its target
MARKS = {True: " ✓", False: " ✗", None: ""}  # for who does not see colours


def format_table(report: Report) -> RenderableType:
    """The measures of base and adapter beside the targets, and how it was proven which one answered."""
    made = lines((report.before, report.after), (None, report.training), report.targets)
    about = f"student {report.student}\nadapter {report.adapter or 'none'}\n{report.identity}"
    return Group(_table(report.run_id, ("before", "after"), made), Text(about, style="dim"))


def compare(one: Report, other: Report) -> RenderableType:
    """Two reports, column beside column, beside the targets of the first."""
    names = [f"{report.run_id}\n{when}" for report in (one, other) for when in ("before", "after")]
    scored = (one.before, one.after, other.before, other.after)
    trained = (None, one.training, None, other.training)
    return _table(f"{one.run_id} and {other.run_id}", names, lines(scored, trained, one.targets))


def _table(title: str, names: Sequence[str], made: Sequence[Line]) -> Table:
    drawn = Table(title=Text(title), title_justify="left")
    drawn.add_column("measure")
    drawn.add_column("target", justify="right", style="dim")
    for name in names:
        drawn.add_column(Text(name), justify="right")
    for line in made:
        drawn.add_row(line.measure, line.target, *(_cell(value) for value in line.values))
    return drawn


def _cell(value: Value) -> Text:
    return Text(value.text + MARKS[value.reached], style=STYLES[value.reached])
