"""A question that a code base can be asked, and what makes it a fair one."""

import re
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from typing import Final

from config.questions.wording import Question, needle
from config.records import JsonObject
from producer.mining.python_code import Index, Line

MOST_NAMES: Final = 8  # that one answer lists; small students lose count beyond


@dataclass(frozen=True)
class MinedQuestion:
    """A question and the facts of its answer."""

    question: Question
    expect: JsonObject


def hits(question: Question, index: Index) -> list[Line]:
    """The lines that a search finds; every needle holds its name, or the first part of its module, as a word."""
    word = question.slots.get("name") or question.slots["module"].partition(".")[0]
    pattern = re.compile(needle(question))
    return [line for line in index.by_word.get(word, ()) if pattern.search(line.text)]


def few(items: Sized) -> bool:
    """True for as many as one answer may list, and at least one."""
    return 1 <= len(items) <= MOST_NAMES


def contains(names: Iterable[str]) -> JsonObject:
    """The `expect` of an answer that names all of these."""
    return {"contains": [*sorted(names)]}
