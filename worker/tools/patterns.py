"""Regular expressions that a model wrote, on RE2: time linear in the text, memory bounded, whatever the pattern.

A backtracking engine is stopped by a timeout but not in its memory: "(a?){1000000000}" took all of it.
The price: no look-around and no back references; the refusal says so.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import re2

from config.errors import ApplejackError

PATTERN_CHARS = 300  # longer ones are a model's runaway text
_FLAGS_OFF = re.compile(r"\(\?[a-zA-Z]*-")
SEARCHED_LINE_BYTES = 10_000  # of one line; minified files have lines of megabytes
PIECE_BYTES = 16_000  # searched at once: the worst patterns take 40 microseconds a byte
PROGRAM_BYTES = 1 << 20  # bounds the compiled pattern and with it the time for each character


class RefusedError(ApplejackError):
    """What a model asked for cannot be had; the message tells it what to ask instead."""


class Pattern(Protocol):
    """The part of a compiled RE2 pattern that is used."""

    def search(self, text: bytes) -> object | None:
        """A match anywhere in the text, or None."""

    def fullmatch(self, text: bytes) -> object | None:
        """A match of the whole text, or None."""


@dataclass(frozen=True)
class LinePattern:
    """A pattern that is looked for in each line by itself."""

    line: Pattern
    anywhere: Pattern | None
    """finds at least every piece with a matching line, at once and much faster; None where that cannot be known"""

    def matching_lines(self, content: bytes, *, deadline: float) -> Iterator[tuple[int, bytes]]:
        """Number from 1 and bytes of every line that matches.

        Raises:
            TimeoutError: time.monotonic() is past the deadline, by at most a second or two.
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
    """The content in runs of whole lines; what follows the last newline is a line only if something does."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + PIECE_BYTES)
        end = end if end >= 0 else len(content.removesuffix(b"\n"))
        yield content[start:end]
        start = end + 1


def line_pattern(text: str) -> LinePattern:
    """The pattern for lines; raises as `compiled`."""
    line = compiled(text)
    # With "^" and "$" at line ends, what matches in a line matches in the text: RE2 has no look-around. Not so for
    # the anchors of a whole text, and where the pattern itself may switch "m" off.
    safe = not any(words in text for words in ("\\A", "\\z")) and not _FLAGS_OFF.search(text)
    return LinePattern(line, _compiled_or_none(f"(?m:{text})") if safe else None)


def compiled(text: str) -> Pattern:
    """The pattern, for UTF-8 text.

    Raises:
        RefusedError: empty, too long, or not understood.
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
    except re2.error:  # just over the memory bound, which the pattern alone was not
        return None


def _compile(text: str) -> Pattern:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PROGRAM_BYTES
    pattern: Pattern = re2.compile(text.encode(), options)
    return pattern
