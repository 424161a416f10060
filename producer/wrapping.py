"""Wrap text for a terminal: identifiers and commands stay whole, and control codes of others are left out."""

import re
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

NARROWEST = 20  # columns; a terminal below that is treated as this wide
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?", re.DOTALL)
WORDS = re.compile(r"[^\s`]*`[^`]+`[^\s`]*|\S+")  # a command in backticks is one word


def printable(text: str) -> str:
    """The text in one line, without escape sequences and control characters."""
    plain = ESCAPES.sub("", text)
    return " ".join("".join(char if char.isprintable() else " " for char in plain).split())


def wrap(text: str, width: int, *, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most `width` columns. `first` precedes the first line, `rest` (by default as many spaces) the others.

    A command in backticks is broken only if it is longer than a line, between its options and with a backslash, so
    that it can be copied. Any other word is broken only if it is longer than a line.
    """
    return _fill(WORDS.findall(printable(text)), width, first=first, rest=rest)


def wrap_items(items: Sequence[str], width: int, *, first: str = "", rest: str | None = None) -> list[str]:
    """The items with commas between them, in lines of at most `width` columns; an item is broken only if it must be."""
    shown = [printable(item) for item in items if item]
    return _fill([*(f"{item}," for item in shown[:-1]), *shown[-1:]], width, first=first, rest=rest)


def _fill(words: Sequence[str], width: int, *, first: str, rest: str | None) -> list[str]:
    later = " " * cell_len(first) if rest is None else rest
    room = max(NARROWEST, width) - max(cell_len(first), cell_len(later))
    lines: list[str] = []
    line = ""
    for word in words:
        for piece in _pieces(word, room):
            if line and cell_len(line) + 1 + cell_len(piece) > room:
                lines.append(line)
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    lines.append(line)
    return [f"{first if number == 0 else later}{line}".rstrip() for number, line in enumerate(lines)]


def wrap_command(command: str, width: int, *, first: str = "") -> list[str]:
    """A command in lines of at most `width` columns that can be copied: all but the last end in a backslash."""
    indent = " " * cell_len(first)
    pieces = _command_pieces(command, max(NARROWEST, width) - cell_len(first))
    return [f"{first if number == 0 else indent}{piece}" for number, piece in enumerate(pieces)]


def _pieces(word: str, room: int) -> list[str]:
    if cell_len(word) <= room:
        return [word]
    if "`" in word and " " in word:
        return _command_pieces(word, room)
    return [piece for part in word.split() for piece in chop_cells(part, room)]


def _command_pieces(command: str, room: int) -> list[str]:
    """The command in pieces of `room` columns; all but the last end in " \\"."""
    if cell_len(command) <= room:
        return [command]
    pieces: list[str] = []
    line = ""
    options = re.split(r" (?=--)", command)  # an option stays with its value, if both fit
    parts = [part for option in options for part in ([option] if cell_len(option) <= room - 2 else option.split())]
    for part in parts:
        for word in chop_cells(part, room - 2):
            if line and cell_len(line) + cell_len(word) + 3 > room:
                pieces.append(f"{line} \\")
                line = word
            else:
                line = f"{line} {word}" if line else word
    return [*pieces, line]


def shorten(text: str, characters: int) -> str:
    """The text in one line of at most `characters`, cut between words, the last one being "…" if something was cut."""
    line = printable(text)
    if len(line) <= characters:
        return line
    whole = line[:characters].rpartition(" ")[0]  # a text of one long word is cut in it
    return f"{(whole or line[: characters - 1])[: characters - 1].rstrip()}…"
