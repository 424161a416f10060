"""Planted secrets with characters that a URL quotes, and a search for them in everything that was written or shown."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SIGNS = ("/", "@", "%", "+")  # between the parts: what a URL quotes, and where careless code cuts
PART = 12  # characters; each part is searched for, because half a password is a leak too


@dataclass(frozen=True)
class Secret:
    """One secret of random parts."""

    name: str
    parts: tuple[str, ...] = field(default_factory=lambda: tuple(secrets.token_hex(PART // 2) for _ in range(5)))

    @property
    def value(self) -> str:
        """The parts with a sign between two of them."""
        return "".join(part + sign for part, sign in zip(self.parts, (*SIGNS, ""), strict=True))

    def forms(self) -> Iterator[bytes]:
        """What is searched for: hex digits, which no quoting changes, and what base64 makes of them at any offset."""
        for part in self.parts:
            yield part.encode()
            for offset in range(3):
                encoded = base64.b64encode(b"x" * offset + part.encode() + b"x" * 3)
                yield encoded[4 if offset else 0 : 12]  # whole groups that hold nothing but the part
            yield part.encode().hex().encode()


def find(planted: Iterable[Secret], texts: Mapping[str, bytes]) -> list[str]:
    """ "SECRET in PLACE: the text around it" for each secret in each text."""
    return [
        f"{secret.name} in {place}: {text[max(0, at - 60) : at + 40]!r}"
        for secret in planted
        for place, text in texts.items()
        if (at := next((at for form in secret.forms() if (at := text.find(form)) >= 0), None)) is not None
    ]


def files(folder: Path) -> dict[str, bytes]:
    """The content and the name of every file in a folder."""
    return {str(path): path.name.encode() + b"\n" + path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Processes:
    """Arguments and environments of this process's descendants, sampled while a `with` block runs."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        self._trusted = trusted
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.arguments: dict[str, bytes] = {}
        self.environments: dict[str, bytes] = {}
        """of programs that are not applejack; those whose arguments hold one of `trusted` are"""

    def __enter__(self) -> "Processes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._ended.is_set():
            for child in me.children(recursive=True):
                try:
                    words = "\0".join(child.cmdline())
                    self.arguments[f"arguments of {words[:80]!r}"] = words.encode()
                    if words and not any(word in words for word in self._trusted):
                        place = f"environment of {words[:80]!r}"
                        self.environments[place] = json.dumps(child.environ()).encode()
                except psutil.Error:
                    continue
            time.sleep(0.1)  # each look reads all of /proc
