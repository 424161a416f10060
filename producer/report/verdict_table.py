"""The verdict as a terminal table, readable at 60 columns."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.report.model import Report
from config.report.verdict import TargetResult, improvement, summary
from producer.report.fitted import Fitted, paragraph
from producer.wrapping import wrap

WIDTH = 100  # longer lines are harder to read
STYLES = {True: "green", False: "red", None: "dim"}
MARK_WIDTH = len("not known  ")


def format_verdict(report: Report) -> RenderableType:
    """Each target reached, missed or not known, then right answers before and after."""
    return Fitted(lambda width: _verdict(report, min(width, WIDTH)))


def _verdict(report: Report, width: int) -> RenderableType:
    results = report.verdict
    who = "with the adapter" if report.after else "base model only"
    title = Text("\n".join(wrap(f"Verdict on {report.run_id}, {who}", width)), style="italic")
    words = improvement(report.before, report.after, report.comparison)
    said = [paragraph(line) for line in filter(None, (f"{summary(results)}.", words))]
    table = _table(results, width) if width >= WIDTH else Group(*(_line(result, width) for result in results))
    return Group(title, table, *said, Text(""))


def _table(results: tuple[TargetResult, ...], width: int) -> Table:
    table = Table(width=width)
    table.add_column("target", ratio=2)
    table.add_column("reached", justify="center")
    table.add_column("measured", ratio=5)
    for result in results:
        table.add_row(result.measure, Text(_mark(result), style=_style(result)), result.sentence)
    return table


def _line(result: TargetResult, width: int) -> Text:
    """ "no    final answer: 63 of 68 prompts got a final answer (84-97%)."."""
    mark = _mark(result)
    text = "\n".join(wrap(f"{result.measure}: {result.sentence}", width, first=f"{mark:<{MARK_WIDTH}}"))
    shown = Text(text)
    shown.stylize(_style(result), 0, len(mark))
    shown.stylize("bold", MARK_WIDTH, min(len(text), MARK_WIDTH + len(result.measure)))
    return shown


def _mark(result: TargetResult) -> str:
    """A word, so that the table is readable without colours."""
    return result.mark + ("" if result.sure else "?")


def _style(result: TargetResult) -> str:
    return STYLES[result.reached] if result.sure else "yellow"
