"""The verdict as a terminal table, readable at 80 columns."""

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from config.report.model import Report
from config.report.verdict import TargetResult, improvement, summary

WIDTH = 100  # longer lines are harder to read
STYLES = {True: "green", False: "red", None: "dim"}


def format_verdict(report: Report) -> RenderableType:
    """Each target reached, missed or not known, then right answers before and after."""
    results = report.verdict
    who = "with the adapter" if report.after else "base model only"
    table = Table(title=Text(f"Verdict on {report.run_id}, {who}"), title_justify="left", expand=True)
    table.add_column("target", ratio=2)
    table.add_column("reached", justify="center")
    table.add_column("measured", ratio=5)
    for result in results:
        table.add_row(result.measure, _mark(result), result.sentence)
    words = improvement(report.before, report.after, report.comparison)
    lines = filter(None, (f"{summary(results)}.", words))
    return Constrain(Group(table, *map(wrapped, lines), Text("")), WIDTH)


def _mark(result: TargetResult) -> Text:
    """A word, so that the table is readable without colours."""
    doubt = "" if result.sure else "?"
    return Text(result.mark + doubt, style="yellow" if doubt else STYLES[result.reached])


def wrapped(line: str) -> Table:
    """Wraps the line also where the console does not: a table's cells always wrap."""
    grid = Table.grid(expand=True)
    grid.add_row(Text(line))
    return grid
