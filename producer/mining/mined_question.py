"""A question about a code base, with its expected facts and helpers to build them."""

import re
from collections.abc import Sized
from dataclasses import dataclass
from typing import Final

from config.questions.wording import Question, needle
from config.records import JsonObject
from producer.mining.python_code import Index, Line

MOST_NAMES: Final = 8  # names in an answer; small students lose count beyond


@dataclass(frozen=True)
class MinedQuestion:
    """A question and the facts of its answer."""

    question: Question
    expect: JsonObject
    named: str | None = None
    """the category, if it is not the one of the question's wording"""

    @property
    def category(self) -> str:
        """The category under which the prompt is counted."""
        return self.named or self.question.category


def hits(question: Question, index: Index) -> list[Line]:
    """Lines that match the question's search. Every needle contains its name, or the module's first part, as a word."""
    word = question.slots.get("name") or question.slots["module"].partition(".")[0]
    pattern = re.compile(needle(question))
    return [line for line in index.by_word.get(word, ()) if pattern.search(line.text)]


def few(items: Sized) -> bool:
    """True for 1 to MOST_NAMES items."""
    return 1 <= len(items) <= MOST_NAMES
