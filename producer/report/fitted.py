"""Renderables that are built for the width of the terminal, so that no word is cut and no line is wider."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from producer.wrapping import wrap

FULL_WIDTH = 120  # columns; narrower terminals get the short values
ROOMY_WIDTH = 78  # columns; narrower ones get the shortest


@dataclass(frozen=True)
class Fitted:
    """Built for the width of the terminal in columns: `build(width)`."""

    build: Callable[[int], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        yield self.build(options.max_width)


def paragraph(text: str, *, style: str = "", first: str = "", most: int = 100) -> Fitted:
    """Text that wraps between words, also where the console does not wrap. `most`: longer lines are harder to read."""
    return Fitted(lambda width: Text("\n".join(wrap(text, min(width, most), first=first)), style=style))


def labels(names: tuple[str, str], room: int) -> tuple[tuple[str, str], list[str]]:
    """Names for columns of `room` columns, and lines that explain them: longer names become "first" and "second"."""
    if max(map(cell_len, names)) <= room:
        return names, []
    return ("first", "second"), [f"first: {names[0]}", f"second: {names[1]}"]


def stacked(parts: Sequence[str], width: int) -> Text:
    """Lines one below the other, each wrapped."""
    return Text("\n".join(line for part in parts for line in wrap(part, width)))
