"""Regular expressions that a model wrote, on RE2: time linear in the text, memory bounded, whatever the pattern.

A backtracking engine is stopped by a timeout but not in its memory: "(a?){1000000000}" took all of it.
The price: no look-around and no back references; the refusal says so.
"""

from typing import Protocol

import re2

from config.errors import ApplejackError

PATTERN_CHARS = 300  # longer ones are a model's runaway text
PROGRAM_BYTES = 1 << 20  # bounds the compiled pattern and with it the time for each character


class RefusedError(ApplejackError):
    """What a model asked for cannot be had; the message tells it what to ask instead."""


class Pattern(Protocol):
    """The part of a compiled RE2 pattern that is used."""

    def search(self, text: bytes) -> object | None:
        """A match anywhere in the text, or None."""

    def fullmatch(self, text: bytes) -> object | None:
        """A match of the whole text, or None."""


def compiled(text: str) -> Pattern:
    """The pattern, for UTF-8 text.

    Raises:
        RefusedError: empty, too long, or not understood.
    """
    if not text:
        raise RefusedError("the pattern is empty; give a regular expression")
    if len(text) > PATTERN_CHARS:
        raise RefusedError(f"the pattern has {len(text)} characters, more than {PATTERN_CHARS}; give a shorter one")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PROGRAM_BYTES
    try:
        pattern: Pattern = re2.compile(text.encode(), options)
    except UnicodeEncodeError:
        raise RefusedError(f"the pattern {text!r} is not valid text") from None
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "not understood"
        raise RefusedError(
            f"the pattern {text!r} is not valid here: {reason} (RE2 syntax: no look-around, no back references)"
        ) from None
    return pattern
