"""Encodes rendered conversations piece by piece, where each piece lies between two control tokens.

A tokenizer first splits a text at its control tokens, so the ids of a text are the concatenated ids of its pieces. The
prefixes of a conversation share nearly all pieces. Encoding each prefix anew would take as many times as long as the
conversation has turns. Some tokenizers do not work like this: a control token absorbs white space, or only the first
piece gets a prefix space. For these `Segments.usable` is False, and whole texts are encoded.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

Encode = Callable[[Sequence[str]], list[list[int]]]
CACHED_IDS = 1 << 18  # about 10 MB: the ids of one conversation, and the preambles that all share
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
        self._cached_ids = 0
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
            self._cached_ids += len(known)
            while self._cached_ids > CACHED_IDS:
                self._cached_ids -= len(self._known.popitem(last=False)[1])
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
