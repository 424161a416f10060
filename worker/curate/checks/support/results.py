"""Reads tool results: which of them found anything, and their lines with path and line number.

The formats of applejack's tools are read exactly. Results of other tools are read as plain lines, so that a rule that
needs a path or a number does not apply to them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from config.records import Message, ToolCall, Trajectory

EMPTY = re.compile(
    r"(?i)^\W*(?:(?:there (?:is|are|were) )?no (?:\w+ ){0,2}?"
    r"(?:match|result|file|output|such|line|entr|hit|occurrence)\w*\b"
    r"|0 (?:match|file|result|line|hit)\w*|nothing (?:was )?found|not found|none found|the directory is empty"
    r"|\(?no output\)?|exit code:? [1-9]\d*\W*$|\[\]$|\{\}$|\{\s*\"\w+\":\s*\[\]\s*\}$)"
)
FAILED = re.compile(
    r'(?i)^\W*(?:\w+ ?)?(?:error|exception)\b"?:|^traceback \(most recent call last\)|^exit code:? [1-9]'
)
NOTE = re.compile(r"(?i)\[[^\]\n]*\bnot (?:shown|searched)[^\]\n]*\]|\[?(?:output )?truncated\b|\.\.\. ?\[?\d+ more")
LEFT_OUT = re.compile(r"\[(\d+) more \w+ not shown")
HIT = re.compile(r"(?P<path>[\w./@+-]*[A-Za-z_][\w./@+-]*):(?P<number>\d+): ?(?P<text>.*)")
NUMBERED = re.compile(r"\s*(?P<number>\d{1,6})(?::|\t|→|\s?\|) ?(?P<text>.*)")
PATH_LINE = re.compile(r"(?:[\w.@+-]+/)*[\w.@+-]+/?")
LISTING = frozenset({"list_dir", "find_files"})
HINT = re.compile(r"; there is (.*)")


@dataclass(frozen=True)
class Line:
    """One line of a result. `path` and `number` are "" and 0 where the result does not give them."""

    text: str
    path: str = ""
    number: int = 0


@dataclass(frozen=True)
class Result:
    """One tool message with its call; `call` is None if it answers no call."""

    call: ToolCall | None
    message: Message

    @property
    def text(self) -> str:
        """The content, "" if it is null."""
        return self.message.content or ""

    def argument(self, name: str) -> str:
        """A text argument of the call, "" if it has none of that name."""
        arguments = self.call.arguments if self.call else None
        value = arguments.get(name) if isinstance(arguments, dict) else None
        return value if isinstance(value, str) else ""

    @cached_property
    def arguments(self) -> str:
        """The values of all arguments of the call, "" if they are not an object."""
        arguments = self.call.arguments if self.call else None
        return " ".join(map(str, arguments.values())) if isinstance(arguments, dict) else ""

    @cached_property
    def path(self) -> str:
        """The file or directory that the call looked at, "" for the whole workspace."""
        return plain_path(self.argument("path"))

    @cached_property
    def found(self) -> bool:
        """Whether the call succeeded and returned anything. "no matches in 81 files" is a result that found nothing."""
        text = self.text
        return not self.message.is_error and bool(text.strip()) and not EMPTY.match(text) and not FAILED.match(text)

    @cached_property
    def is_read(self) -> bool:
        """Whether the result has the format of one of applejack's tools."""
        name = self.call.name if self.call else ""
        if name in ("grep", "read_file"):
            return all(line.number for line in self.lines)
        return name == "count" or bool(self.listed)

    @cached_property
    def hint(self) -> str:
        """The paths that a failed call suggested instead."""
        suggested = HINT.search(self.text) if not self.found else None
        return suggested[1].replace("'", " ") if suggested else ""

    @cached_property
    def capped(self) -> bool:
        """Whether lines are left out."""
        return bool(NOTE.search(self.text))

    @cached_property
    def left_out(self) -> int:
        """The number of matches that are not shown."""
        more = LEFT_OUT.search(self.text)
        return int(more[1]) if more else 0

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines without notes; none if nothing was found."""
        if not self.found:
            return ()
        return tuple(_line(text, self) for text in self.text.split("\n") if text.strip() and not NOTE.search(text))

    @cached_property
    def listed(self) -> tuple[str, ...]:
        """The paths that a listing shows, with the listed directory in front; directories end in "/"."""
        if not self.lines or not all(PATH_LINE.fullmatch(line.text) for line in self.lines):
            return ()
        under = self.path if self.call and self.call.name == "list_dir" else ""
        return tuple(plain_path(f"{under}/{line.text}", keep_slash=True) for line in self.lines)


def results_of(trajectory: Trajectory) -> tuple[Result, ...]:
    """The tool messages in order, each with the last call before it of the same id: some servers use ids again."""
    latest: dict[str, ToolCall] = {}
    found = []
    for message in trajectory.messages:
        latest |= {call.id: call for call in message.tool_calls}
        if message.role == "tool":
            found.append(Result(latest.get(message.tool_call_id or ""), message))
    return tuple(found)


def paths_shown(results: tuple[Result, ...]) -> Iterator[str]:
    """Paths that results show or that a successful call looked at."""
    for result in results:
        if result.found:
            yield from chain((line.path for line in result.lines), result.listed, [result.path])
            if result.call and result.call.name == "find_files":
                yield from (line.text for line in result.lines)


def plain_path(text: str, *, keep_slash: bool = False) -> str:
    """A path without "./", double or final slashes; "" for "."."""
    parts = [part for part in text.strip().split("/") if part not in ("", ".")]
    return "/".join(parts) + ("/" if keep_slash and parts and text.endswith("/") else "")


def _line(text: str, result: Result) -> Line:
    if hit := HIT.match(text):
        return Line(hit["text"], plain_path(hit["path"]), int(hit["number"]))
    if numbered := NUMBERED.match(text):
        return Line(numbered["text"], result.path, int(numbered["number"]))
    return Line(text, "" if result.call and result.call.name in LISTING else result.path)
