"""Lines of text with a style: what sections of the screen are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.cells import cell_len, set_cell_size

from producer.overview.words import percent

BAR = ("█", "░")
PLAIN_BAR = ("#", "-")  # where the output cannot show blocks
SPARKS = "▁▂▃▄▅▆▇█"
GAP = "  "


@dataclass(frozen=True)
class Line:
    """One line of the screen."""

    text: str
    style: str = ""


def styled(texts: Sequence[str], style: str = "") -> list[Line]:
    """The texts as lines of one style."""
    return [Line(text, style) for text in texts]


def bar(done: int, total: int, width: int, *, plain: bool) -> str:
    """A progress bar with the percentage, of `width` columns: "██████░░░░  41%"."""
    share = min(1.0, done / total) if total else 0.0
    full, empty = PLAIN_BAR if plain else BAR
    cells = max(4, width - len("  100%"))
    filled = int(share * cells)
    return f"{full * filled}{empty * (cells - filled)}  {percent(done, total):>4}"


def sparkline(values: Sequence[float], width: int) -> str:
    """The values from low to high blocks, at most `width` of them: each is the mean of its part of the values."""
    count = min(width, len(values))
    edges = [len(values) * n // count for n in range(count + 1)] if count else []
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = (min(means), max(means)) if means else (0.0, 0.0)
    top = len(SPARKS) - 1
    return "".join(SPARKS[round((mean - low) / (high - low) * top) if high > low else 0] for mean in means)


def columns(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """The rows as aligned columns; `right`: the columns whose cells are aligned to the right."""
    widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
    return [
        GAP.join(
            " " * (width - cell_len(cell)) + cell if to_right else set_cell_size(cell, width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def widest(lines: Sequence[str]) -> int:
    """Columns of the widest line."""
    return max(map(cell_len, lines), default=0)
