"""Finds the lists of an answer: enumerations in a clause ("A, B and C"), and bullets, lines or table rows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from config.questions.grading.clauses import BULLET, CODE, PLAIN_SUBJECTS
from config.questions.grading.quantities import noun_of

LEAD: Final = (
    r"(?:(?:an?|the|its|class(?:es)?|functions?|methods?|async|def|files?|modules?|parameters?|arguments?"
    r"|decorators?|keyword-only|positional-only|optional|required|both|either|named|called|new|external|internal"
    r"|private|public|abstract|helper|top-level)\s+)*"
)
NAME: Final = r"(?!(?:and|or|as|plus)\b)(?:\.{0,2}/)?[A-Za-z_][\w-]*(?:[./][\w-]*\w)*/?|\*{1,2}[A-Za-z_]\w*"
ITEM: Final = re.compile(
    rf"(?<![\w./-]){LEAD}[`'\"*@(\[]*(?P<name>{NAME})(?P<after>(?:\([^()]*\))?(?::\d+)*(?:\s?=\s?[^\s,;:]+)?"
    rf"[`'\"*)\]]*(?:\s*\([^()]*\))?)"
)
SEPARATOR: Final = re.compile(
    r"(?i)\s*(?:,\s*(?:and|or|plus|as well as|then)?|&|\band\b|\bor\b|\bas well as\b|\bplus\b|\band/or\b)"
    r"\s*(?:also|even|in|by|the)?\s*"
)
_PLAIN: Final = "self cls etc others other more too respectively here nothing anything else is are in"
PLAIN: Final = frozenset(_PLAIN.split())
ROW_ITEM: Final = re.compile(rf"^{LEAD}[`'\"*@(\[]*(?P<name>{NAME})(?P<after>\S*)(?P<rest>.*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """A name in a list, with its position in the text."""

    name: str
    start: int
    end: int
    sure: bool
    """it is a name for certain: quoted, or written as in code"""


def enumerations(text: str) -> Iterator[tuple[Item, ...]]:
    """The enumerations of a clause, also of a single name."""
    chain: list[Item] = []
    at = 0
    for match in ITEM.finditer(text):
        if chain and not SEPARATOR.fullmatch(text, at, match.start()):
            yield tuple(chain)
            chain = []
        item = _item(match, text)
        if not item.sure and re.match(r"\s+\w", text[match.end() :]) and not SEPARATOR.match(text, match.end()):
            if chain:
                yield tuple(chain)
            chain = []  # a word of a sentence that goes on
            continue
        chain.append(item)
        at = match.end()
    if chain:
        yield tuple(chain)


def _item(match: re.Match[str], text: str) -> Item:
    name, start, end = match["name"].rstrip("/"), *match.span("name")
    quoted = start > 0 and text[start - 1] in "`'\"@"
    capital = name[:1].isupper() and start > 0 and name.lower() not in PLAIN_SUBJECTS
    return Item(name.lstrip("*"), start, end, bool(quoted or capital or CODE.search(name)))


def rows(text: str) -> Iterator[tuple[Item, ...]]:
    """The leading names of consecutive bullets, table rows or lines with one name, the outermost ones only."""
    group: list[tuple[int, Item]] = []
    at = 0
    for line in text.split("\n"):
        bullet = BULLET.match(line)
        bare = re.fullmatch(rf"\s*[`'\"*@]*(?:{NAME})(?:\(.*\))?[`'\",*;]*\s*", line)
        if bullet or bare:
            start = bullet.end() if bullet else len(line) - len(line.lstrip())
            found = ROW_ITEM.match(line[start:])
            if found and (item := _lead(found, at + start)):
                group.append((len(line) - len(line.lstrip()), item))
        elif group and line.strip():
            yield _outermost(group)
            group = []
        at += len(line) + 1
    if group:
        yield _outermost(group)


def _lead(found: re.Match[str], offset: int) -> Item | None:
    name = found["name"].rstrip("/")
    quoted = found.start("name") > 0 and found.string[found.start("name") - 1] in "`'\"@*"
    sure = bool(quoted or CODE.search(name))
    sentence = not sure and re.match(r"\s+\w", found["after"] + found["rest"])
    if sentence or name.lower() in PLAIN_SUBJECTS or noun_of(name):
        return None
    start = offset + found.start("name")
    return Item(name.lstrip("*"), start, start + len(found["name"]), sure)


def _outermost(group: list[tuple[int, Item]]) -> tuple[Item, ...]:
    indent = min(depth for depth, _ in group)
    return tuple(item for depth, item in group if depth == indent)
