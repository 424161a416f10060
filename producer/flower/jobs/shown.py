"""Text of a model or a user as HTML: escaped, with evidence marked, and with unseen characters made visible."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tornado.escape import xhtml_escape

# Controls but tab and line feed, formatting marks such as those that turn the direction of text, halves of surrogates.
UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
SHORTEST = 3  # characters of a quotation that is looked for; shorter ones stand everywhere
FOLD_LINES, FOLD_CHARACTERS = 16, 1800  # longer texts are folded
START_LINES, START_CHARACTERS = 4, 400  # of a folded text
MOST_CHARACTERS = 40_000  # of one text on the page; 12 such texts take about 50 ms
MOST_MARKS = 500  # in one text


def visible(text: str) -> str:
    """A text for one place of a line, in which unseen characters are written as U+202E."""
    return UNSEEN.sub(lambda found: f"\u27e8{code(found[0])}\u27e9", text)


def code(character: str) -> str:
    """The code point of a character, "U+202E"."""
    return f"U+{ord(character):04X}"


def quoted(detail: str) -> list[str]:
    """The texts that a finding quotes as Python's repr writes them."""
    pieces = []
    for literal in QUOTED.findall(detail):
        try:
            piece = ast.literal_eval(literal)
        except (ValueError, SyntaxError):  # an apostrophe, not a quotation
            continue
        if len(piece.strip()) >= SHORTEST:
            pieces.append(piece)
    return pieces


def marked(text: str, pieces: Iterable[str] = ()) -> str:
    """HTML of a text; every occurrence of a piece is marked, without regard to case."""
    parts, done = [], 0
    for start, end in spans(text, pieces):
        parts += [escaped(text[done:start]), f"<mark>{escaped(text[start:end])}</mark>"]
        done = end
    return "".join([*parts, escaped(text[done:])])


def escaped(text: str) -> str:
    """HTML of a text in which unseen characters are boxes with their code points."""
    parts, done = [], 0
    for found in UNSEEN.finditer(text):
        parts += [xhtml_escape(text[done : found.start()]), f'<span class="job-unseen">{code(found[0])}</span>']
        done = found.end()
    return "".join([*parts, xhtml_escape(text[done:])])


def spans(text: str, pieces: Iterable[str]) -> list[tuple[int, int]]:
    """Where the pieces are, without overlaps; of two that begin together the longer."""
    low = text.lower()
    if len(low) != len(text):  # a letter whose lower case is two letters would shift the places
        low = text
    found: list[tuple[int, int]] = []
    for piece in {piece if low is text else piece.lower() for piece in pieces}:
        at = low.find(piece)
        while at >= 0 and len(found) < MOST_MARKS:
            found.append((at, at + len(piece)))
            at = low.find(piece, at + len(piece))
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


@dataclass(frozen=True)
class ShownText:
    """One text of a conversation."""

    html: str
    start: str
    """HTML of its beginning if it is folded, else "" """
    size: str
    """"120 lines", for the summary of a folded text"""
    evidence: bool
    """a part of it is marked, so it is not folded at first"""
    omitted: int
    """characters at its end that the page does not hold"""


def shown(text: str, pieces: Iterable[str] = ()) -> ShownText:
    """Prepare a text."""
    cut = text[:MOST_CHARACTERS]
    html = marked(cut, pieces)
    lines = text.count("\n") + 1
    folded = lines > FOLD_LINES or len(text) > FOLD_CHARACTERS
    start = "\n".join(cut.split("\n", START_LINES)[:START_LINES])[:START_CHARACTERS] if folded else ""
    size = f"{lines:,} lines" if lines > FOLD_LINES else f"{len(text):,} characters"
    return ShownText(html, escaped(start), size, "<mark>" in html, len(text) - len(cut))
