"""Format a Report as a terminal table, two of them side by side, or as an HTML page (`html`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from config.report.model import Report
from config.report.rows import Line, Value, lines
from config.report.verdict import improvement
from producer.report.page import html
from producer.report.paired import flips, paired_table
from producer.report.verdict_table import format_verdict, wrapped

__all__ = ["compare", "flips", "format_table", "html", "paired_table"]

FULL_WIDTH = 120  # columns; narrower terminals get the short values
STYLES = {True: "green", False: "red", None: ""}  # target reached, missed, or none
MARKS = {True: " ✓", False: " ✗", None: ""}  # readable without colours


def format_table(report: Report) -> RenderableType:
    """The verdict, the scores of both models beside the targets, and how the weights that answered were verified."""
    rows = lines((report.before, report.after), (None, report.training), report.targets)
    table = Fitted(lambda narrow: _table(report.run_id, ("before", "after"), rows, narrow=narrow))
    pairs = [paired_table(report.comparison, ("base", "adapter"))] if report.comparison else []
    about = (f"student {report.student_name}", f"adapter {report.adapter or 'none'}", report.teacher, report.identity)
    warnings = (Text(f"warning: {line}", style="yellow") for line in (*report.warnings, *report.notes))
    choice = f"checkpoint: {report.checkpoints.reason}" if report.checkpoints else ""
    told = Text("\n".join(filter(None, (*about, choice))), style="dim")
    return Group(format_verdict(report), table, *pairs, *_unseen(report), *warnings, told)


def _unseen(report: Report) -> list[RenderableType]:
    """Right answers about code that the student never saw, or why there are none. The page has all rates."""
    if (unseen := report.unseen) is None:
        return []
    words = improvement(unseen.before, unseen.after, unseen.comparison) or "No answer was graded."
    told = f"No question was asked: {unseen.problem}" if unseen.problem else words
    return [wrapped(f"Code that the student never saw: {unseen.workspace}. {told}")]


def compare(first: Report, second: Report) -> RenderableType:
    """Table of two adapters side by side, marked where a target is reached. A run without one shows its base model."""
    names = [f"{report.run_id}{'' if report.after else ' (base)'}" for report in (first, second)]
    rows = lines(
        (first.after or first.before, second.after or second.before),
        (first.training, second.training),
        first.targets,
    )
    title = f"{first.run_id} and {second.run_id}"
    return Fitted(lambda narrow: _table(title, names, rows, narrow=narrow, targets=not narrow))


@dataclass(frozen=True)
class Fitted:
    """Built for the width of the terminal: `build(narrow)`."""

    build: Callable[[bool], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        yield self.build(options.max_width < FULL_WIDTH)


def _table(title: str, names: Sequence[str], rows: Sequence[Line], *, narrow: bool, targets: bool = True) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD if narrow else box.HEAVY_HEAD)
    table.add_column("measure")
    if targets:
        table.add_column("target", justify="right", style="dim")
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    for line in rows:
        values = (_cell(value, narrow=narrow) for value in line.values)
        table.add_row(line.measure, *([line.target] if targets else []), *values)
    return table


def _cell(value: Value, *, narrow: bool) -> Text:
    text = value.short if narrow and value.short else value.text
    return Text(text + MARKS[value.reached], style=STYLES[value.reached])
