"""Format a paired comparison for the terminal: its counts, and the prompts that flipped. Readable at 60 columns."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.report.comparison import Comparison, Flip
from config.report.rows import paired
from producer.output import pluralise
from producer.report.fitted import FULL_WIDTH, Fitted, labels, paragraph, stacked
from producer.wrapping import shorten, wrap

SHOWN = 10  # flipped prompts; --json has all
ANSWER_CHARS = 160  # about two lines
NAME_ROOM = 26  # columns of a name before the figures
SHORT = {"correct from a real result": "by real result"}


def paired_table(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """How many prompts both, one or neither answered rightly, with the p-value, and how many flipped."""
    if not paired(comparison, names)[1:]:
        return Text("no prompt could be graded for both")
    table = Fitted(lambda width: _wide(comparison, names) if width >= FULL_WIDTH else _tall(comparison, names, width))
    return Group(table, paragraph(_flipped(comparison, names[1])))


def _wide(comparison: Comparison, names: tuple[str, str]) -> Table:
    head, *rows = paired(comparison, names)
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(head):
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _tall(comparison: Comparison, names: tuple[str, str], width: int) -> RenderableType:
    """The same with a line for each count, so that long names have room."""
    shown, legend = labels(names, NAME_ROOM)
    head, *rows = paired(comparison, shown)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(head[0]))
    for row in rows:
        table.add_column(Text(SHORT.get(row[0], row[0])), justify="right")
    for number, name in enumerate(head[1:], start=1):
        table.add_row(Text(name), *(row[number] for row in rows))
    return Group(Text(""), *([stacked(legend, width)] if legend else []), table)


def flips(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """The flipped prompts with both answers, lost ones first, at most SHOWN."""
    chosen = sorted(comparison.flipped, key=lambda flip: flip.gained)[:SHOWN]
    left = len(comparison.flipped) - SHOWN
    more = [Text(f"{left} more: --json lists all")] if left > 0 else []
    return Fitted(lambda width: Group(*(_flip(flip, names, min(width, FULL_WIDTH)) for flip in chosen), *more))


def _flipped(comparison: Comparison, second: str) -> str:
    gained = sum(flip.gained for flip in comparison.flipped)
    lost = len(comparison.flipped) - gained
    return f"{pluralise(len(comparison.flipped), 'prompt')} flipped: {second} gained {gained} and lost {lost}"


def _flip(flip: Flip, names: tuple[str, str], width: int) -> Text:
    """Job and category, the prompt, both answers."""
    mark, style = ("+", "green") if flip.gained else ("-", "red")
    shown = Text(f"{mark} ", style=style)
    shown.append(f"{flip.job_id}  {flip.category}", style="dim")
    shown.append("\n" + "\n".join(wrap(shorten(flip.prompt, ANSWER_CHARS), width, first="  ")), style="bold")
    heads, _ = labels(names, NAME_ROOM)
    for name, answer in zip(heads, (flip.first, flip.second), strict=True):
        told = wrap(f"{name}: {shorten(answer, ANSWER_CHARS)}", width, first="  ", rest="    ")
        shown.append("\n" + "\n".join(told))
    return shown
