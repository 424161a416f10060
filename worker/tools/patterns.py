"""Regular expressions from a model, run on RE2: linear time and bounded memory for every pattern.

A timeout limits the time of a backtracking engine but not its memory: "(a?){1000000000}" used all of it.
RE2 has no look-around and no back references. The error message to the model states this.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import re2

from config.errors import ApplejackError

PATTERN_CHARS = 300  # longer patterns are runaway model output
_FLAGS_OFF = re.compile(r"\(\?[a-zA-Z]*-")
SEARCHED_LINE_BYTES = 10_000  # searched per line; minified files have lines of megabytes
PIECE_BYTES = 16_000  # searched at once; the slowest patterns take 40 microseconds per byte
PROGRAM_BYTES = 1 << 20  # limit of the compiled pattern, and so of the time per character


class RefusedError(ApplejackError):
    """A tool refused a call. The message goes to the model and names a call that works."""


class Pattern(Protocol):
    """The methods of a compiled RE2 pattern that are used."""

    def search(self, text: bytes) -> object | None:
        """A match anywhere in the text, or None."""

    def fullmatch(self, text: bytes) -> object | None:
        """A match of the whole text, or None."""


@dataclass(frozen=True)
class LinePattern:
    """A pattern that is searched line by line."""

    line: Pattern
    anywhere: Pattern | None
    """fast pre-filter that matches every piece with a matching line; None where no such pattern can be derived"""

    def matching_lines(self, content: bytes, *, deadline: float) -> Iterator[tuple[int, bytes]]:
        """Number (from 1) and bytes of every matching line.

        Raises:
            TimeoutError: time.monotonic() passed the deadline. It is checked every second or two.
        """
        number = 0
        for piece in _pieces(content.replace(b"\r\n", b"\n")):
            if time.monotonic() > deadline:
                raise TimeoutError
            if len(piece) < 2 * PIECE_BYTES and self.anywhere is not None and self.anywhere.search(piece) is None:
                number += piece.count(b"\n") + 1
                continue
            for line in piece.split(b"\n"):
                number += 1
                if self.line.search(line[:SEARCHED_LINE_BYTES]) is not None:
                    yield number, line


def _pieces(content: bytes) -> Iterator[bytes]:
    """The content in pieces of whole lines. Text after the last newline is a line unless it is empty."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + PIECE_BYTES)
        end = end if end >= 0 else len(content.removesuffix(b"\n"))
        yield content[start:end]
        start = end + 1


def line_pattern(text: str) -> LinePattern:
    """The pattern for single lines. Raises the errors of `compiled`."""
    line = compiled(text)
    # With the flag "m", a match in a line is also a match in the text, since RE2 has no look-around. This does not hold
    # for the anchors of the whole text, or where the pattern itself may switch "m" off.
    safe = not any(anchor in text for anchor in ("\\A", "\\z")) and not _FLAGS_OFF.search(text)
    return LinePattern(line, _compiled_or_none(f"(?m:{text})") if safe else None)


def compiled(text: str) -> Pattern:
    """A pattern for UTF-8 text.

    Raises:
        RefusedError: the pattern is empty, too long or invalid.
    """
    if not text:
        raise RefusedError("the pattern is empty; give a regular expression")
    if len(text) > PATTERN_CHARS:
        raise RefusedError(f"the pattern has {len(text)} characters, more than {PATTERN_CHARS}; give a shorter one")
    try:
        return _compile(text)
    except UnicodeEncodeError:
        raise RefusedError(f"the pattern {text!r} is not valid text") from None
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "not understood"
        raise RefusedError(
            f"the pattern {text!r} is not valid here: {reason} (RE2 syntax: no look-around, no back references)"
        ) from None


def _compiled_or_none(text: str) -> Pattern | None:
    try:
        return _compile(text)
    except re2.error:  # the flag took it over the memory limit
        return None


def _compile(text: str) -> Pattern:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PROGRAM_BYTES
    pattern: Pattern = re2.compile(text.encode(), options)
    return pattern
