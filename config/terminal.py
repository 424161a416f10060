"""Text for a terminal: a prompt, an answer or a name cannot move the cursor, set the clipboard or plant a link.

Not covered: look-alike letters, and the lines that a text with line breaks adds.
"""

import json
import sys
from collections.abc import Mapping
from typing import Final, TextIO

KEPT: Final = "\n\t"
BIDI: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)  # change the order of a line
CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *BIDI)  # C0 with ESC, DEL, C1 with CSI and OSC
SURROGATES: Final = range(0xD800, 0xE000)  # cannot be encoded
DROPPED: Final = {code: "" for code in CONTROLS if chr(code) not in KEPT} | dict.fromkeys(SURROGATES, "?")
ESCAPED: Final = {code: f"\\u{code:04x}" for code in DROPPED}


def plain(text: str) -> str:
    """The text without control characters, except line breaks and tabs."""
    return text.translate(DROPPED)


def say(text: str = "", *, file: TextIO | None = None) -> None:
    """Print a line; `file` is stdout if None."""
    print(plain(text), file=file or sys.stdout, flush=True)


def say_json(body: Mapping[str, object]) -> None:
    """Print a JSON object as the last line of stdout; json.dumps escapes only a part of the control characters."""
    print(json.dumps(body, ensure_ascii=False).translate(ESCAPED), flush=True)  # noqa: T201 - the one place
