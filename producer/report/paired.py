"""Format a paired comparison for the terminal: its counts, and the prompts that flipped. Readable at 80 columns."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from config.report.comparison import Comparison, Flip
from config.report.outcomes import cut
from config.report.rows import paired
from producer.output import pluralise

SHOWN = 10  # flipped prompts; --json has all
ANSWER_CHARS = 160  # about two lines


def paired_table(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """How many prompts both, one or neither answered rightly, with the p-value, and how many flipped."""
    head, *rows = paired(comparison, names)
    if not rows:
        return Text("no prompt could be graded for both")
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(head):
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return Group(table, Text(_flipped(comparison, names[1])))


def flips(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """The flipped prompts with both answers, lost ones first, at most SHOWN."""
    grid = Table.grid(padding=(0, 1))
    for flip in sorted(comparison.flipped, key=lambda flip: flip.gained)[:SHOWN]:
        _add(grid, flip, names)
    left = len(comparison.flipped) - SHOWN
    return Group(grid, *([Text(f"{left} more: --json lists all")] if left > 0 else []))


def _flipped(comparison: Comparison, second: str) -> str:
    gained = sum(flip.gained for flip in comparison.flipped)
    lost = len(comparison.flipped) - gained
    return f"{pluralise(len(comparison.flipped), 'prompt')} flipped: {second} gained {gained} and lost {lost}"


def _add(grid: Table, flip: Flip, names: tuple[str, str]) -> None:
    """Four lines: job and category, the prompt, both answers."""
    mark, style = ("+", "green") if flip.gained else ("-", "red")
    grid.add_row(Text(mark, style=style), Text(f"{flip.job_id}  {flip.category}", style="dim"))
    grid.add_row("", Text(_one_line(flip.prompt), style="bold"))
    for name, answer in zip(names, (flip.first, flip.second), strict=True):
        grid.add_row("", Text(f"{name}: {_one_line(answer)}"))


def _one_line(text: str) -> str:
    return cut(" ".join(text.split()), ANSWER_CHARS)
