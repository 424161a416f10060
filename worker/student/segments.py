"""Token ids of rendered conversations, each piece between two control tokens encoded once.

A tokenizer cuts a text at its control tokens before it does anything else, so the ids of a text are those of its
pieces, one after the other. The prefixes of one conversation share nearly all pieces; encoding each prefix anew would
take as many times as long as there are turns. Where a tokenizer is no such one (a control token that swallows white
space, a prefix space at the first piece alone), `Segments.usable` says so and whole texts are encoded.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

Encode = Callable[[Sequence[str]], list[list[int]]]
REMEMBERED = 1 << 18  # ids, about 10 MB: those of one conversation, and the preambles that all share
PROBES = (
    "a",
    " a",
    "\n",
    "\n\n",
    "user\nWhere is it?",
    "é\u4e2d\U0001f600",
    "  x  ",
    "tool: 12,345.6\n\treturn",
    "'s",
    "\r\n",
)


class Segments:
    """Encodes texts piece by piece."""

    def __init__(self, encode: Encode, control: Mapping[str, int]) -> None:
        self._encode = encode
        self._control = control
        self._cut = re.compile("(" + "|".join(map(re.escape, sorted(control, key=len, reverse=True))) + ")")
        self._known: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._held = 0
        self.usable = bool(control) and all(self.ids(text) == encode([text])[0] for text in self._probes())

    def ids(self, text: str) -> list[int]:
        """The ids of one text."""
        found: list[int] = []
        for piece in self._cut.split(text):
            if piece in self._control:
                found.append(self._control[piece])
            elif piece:
                found.extend(self._piece(piece))
        return found

    def _piece(self, piece: str) -> tuple[int, ...]:
        known = self._known.get(piece)
        if known is None:
            known = tuple(self._encode([piece])[0])
            self._known[piece] = known
            self._held += len(known)
            while self._held > REMEMBERED:
                self._held -= len(self._known.popitem(last=False)[1])
        else:
            self._known.move_to_end(piece)
        return known

    def _probes(self) -> list[str]:
        names = sorted(self._control)[:8]
        return [
            f"{before}{name}{after}{name}{before}"
            for name in names
            for before in PROBES
            for after in (PROBES[0], "", before)
        ]
