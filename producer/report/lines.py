"""Format a Report as a terminal table, two of them side by side, or as an HTML page (`html`)."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.report.model import Report
from config.report.rows import Line, Value, lines
from config.report.verdict import improvement
from producer.report.fitted import FULL_WIDTH, ROOMY_WIDTH, Fitted, labels, paragraph, stacked
from producer.report.page import html
from producer.report.paired import flips, paired_table
from producer.report.verdict_table import format_verdict

__all__ = ["compare", "flips", "format_table", "html", "paired_table"]

STYLES = {True: "green", False: "red", None: ""}  # target reached, missed, or none
MARKS = {True: " ✓", False: " ✗", None: ""}  # readable without colours
SHORT = {  # names of measures where the terminal is narrow
    "tool calls per prompt, median (p90)": "tool calls, median",
    "a tool called when needed": "tool when needed",
    "a real result when needed": "real result when needed",
    "no tool called when not needed": "no tool when not needed",
    "calls that are well formed": "well-formed calls",
    "calls that got a real result": "calls with real result",
    "answers cut at the token limit": "cut at the token limit",
    "final answer given": "final answer",
    "correct answers from a real result": "correct by real result",
    "invented tool results": "invented results",
    "answers that ran away": "ran away",
    "answers with repetitions": "repetitions",
    "answers that no result supports": "unsupported answers",
    "seconds per prompt, median (p90)": "seconds, median",
    "samples of each answer": "samples",
    "sampled: correct answers": "sampled: correct",
    "sampled: correct answers from a real result": "sampled: by real result",
    "training: loss, first to last": "training: loss",
    "training: validation loss": "validation loss",
    "training: peak memory": "peak memory",
    "training: tokens per second": "training: tokens/s",
}
VALUE_ROOM = {True: 21, False: 16}  # columns of a value by whether the terminal is roomy: "196 of 200 (95-99%) ✓"


def format_table(report: Report) -> RenderableType:
    """The verdict, the scores of both models beside the targets, and how the weights that answered were verified."""
    rows = lines((report.before, report.after), (None, report.training), report.targets)
    table = Fitted(lambda width: _table(report.run_id, ("before", "after"), rows, width))
    pairs = [paired_table(report.comparison, ("base", "adapter"))] if report.comparison else []
    about = (f"student {report.student_name}", f"adapter {report.adapter or 'none'}", report.teacher, report.identity)
    warnings = (paragraph(f"warning: {line}", style="yellow") for line in (*report.warnings, *report.notes))
    choice = f"checkpoint: {report.checkpoints.reason}" if report.checkpoints else ""
    told = (paragraph(line, style="dim") for line in filter(None, (*about, choice)))
    return Group(format_verdict(report), table, *pairs, *_unseen(report), *warnings, *told)


def _unseen(report: Report) -> list[RenderableType]:
    """Right answers about code that the student never saw, or why there are none. The page has all rates."""
    if (unseen := report.unseen) is None:
        return []
    words = improvement(unseen.before, unseen.after, unseen.comparison) or "No answer was graded."
    told = f"No question was asked: {unseen.problem}" if unseen.problem else words
    return [paragraph(f"Code that the student never saw: {unseen.workspace}. {told}")]


def compare(first: Report, second: Report) -> RenderableType:
    """Table of two adapters side by side, marked where a target is reached. A run without one shows its base model."""
    names = (_name(first), _name(second))
    rows = lines(
        (first.after or first.before, second.after or second.before),
        (first.training, second.training),
        first.targets,
    )
    title = f"{first.run_id} and {second.run_id}"
    return Fitted(lambda width: _table(title, names, rows, width))


def _name(report: Report) -> str:
    return f"{report.run_id}{'' if report.after else ' (base)'}"


def _table(title: str, names: tuple[str, str], rows: Sequence[Line], width: int) -> RenderableType:
    """All rows. On a narrow terminal in short words; rows that are too wide for it follow the table as text."""
    if width >= FULL_WIDTH:
        return _grid(title, names, rows)
    roomy = width >= ROOMY_WIDTH
    heads, legend = labels(names, VALUE_ROOM[roomy])
    shown: list[tuple[str, str, Text, Text]] = []
    below: list[str] = []
    for line in rows:
        first, second = (_short(value, roomy=roomy) for value in line.values)
        measure = SHORT.get(line.measure, line.measure)
        target = line.target.replace("under ", "<")
        if max(first.cell_len, second.cell_len) > VALUE_ROOM[roomy]:
            below.append(f"{measure}: {heads[0]} {first.plain}; {heads[1]} {second.plain}")
        elif roomy:
            shown.append((measure, target, first, second))
        else:
            shown.append((f"{measure} ({target})" if target else measure, "", first, second))
    parts: list[RenderableType] = [stacked([title, *legend], width), _narrow(heads, shown, roomy=roomy)]
    return Group(*parts, *([stacked(below, width)] if below else []))


def _grid(title: str, names: tuple[str, str], rows: Sequence[Line]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.HEAVY_HEAD)
    table.add_column("measure")
    table.add_column("target", justify="right", style="dim")
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    for line in rows:
        table.add_row(line.measure, line.target, *map(_full, line.values))
    return table


def _narrow(heads: tuple[str, str], rows: Sequence[tuple[str, str, Text, Text]], *, roomy: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("measure" if roomy else "measure (target)")
    if roomy:
        table.add_column("target", justify="right", style="dim")
    for head in heads:
        table.add_column(Text(head), justify="right")
    for measure, target, *values in rows:
        table.add_row(measure, *([target] if roomy else []), *values)
    return table


def _full(value: Value) -> Text:
    return Text(value.text + MARKS[value.reached], style=STYLES[value.reached])


def _short(value: Value, *, roomy: bool) -> Text:
    text = value.short or value.text
    if not roomy and " of " in text:
        text = text.replace(" of ", "/").replace("(", "").replace(")", "")
    return Text(text + MARKS[value.reached], style=STYLES[value.reached])
