"""What a question asks for: `asked(prompt)` reads the wording of mined questions, and the same in other words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from config.questions.wording import GENERAL_FORMS, Question, parse
from config.records import Trajectory

LOOSE: Mapping[str, re.Pattern[str]] = {  # the same questions in other words; the first that matches applies
    "subclasses": re.compile(
        r"(?i)^(?:which|what|list|find|name)\b.*\b(?:inherit|subclass|extend|derive|base class)\w*\b"
        r".*?`?([A-Za-z_]\w+)`?\W*$"
    ),
    "importers": re.compile(
        r"(?i)^(?:which|what|list|find|name)\b.*\bfiles?\b.*\bimport\w*\s+(?:the\s+)?(?:module\s+)?`?([a-z_][\w.]*\w)`?\W*$"
    ),
    "parameters": re.compile(
        r"(?i)^(?:which|what|list|name)\b.*\b(?:parameters|arguments|signature)\b.*?`?([A-Za-z_]\w+)`?(?:\(\))?"
        r"(?: take| accept| have| expect)?\W*$"
    ),
    "decorators": re.compile(
        r"(?i)^(?:which|what|list|name)\b.*\bdecorators?\b.*?`?([a-z_]\w+)`?(?:\(\))?(?: have)?\W*$"
    ),
    "contents": re.compile(
        r"(?i)^(?:which|what|list|name)\b.*\b(?:classes|functions)\b"
        r".*?`?([\w./-]+\.py)`?(?: define| contain| have)?\W*$"
    ),
}
SLOTS = {"importers": "module", "contents": "path"}


@dataclass(frozen=True)
class Asked:
    """A question whose answer can be read from results."""

    question: Question
    exact: bool
    """worded as mined questions are, so that the slots are certain"""

    @property
    def category(self) -> str:
        """One of the categories of config/questions/wording.json."""
        return self.question.category

    @property
    def subject(self) -> str:
        """The name, module, path, folder or file that the question is about."""
        slots = self.question.slots
        return next((slots[key] for key in ("name", "module", "path", "folder", "file") if key in slots), "")


def asked(prompt: str) -> Asked | None:
    """The question of a prompt, if its answer can be read from results."""
    if question := _parsed(prompt):
        return Asked(question, exact=True) if question.category not in GENERAL_FORMS else None
    text = " ".join(prompt.split())
    for category, pattern in LOOSE.items():
        if found := pattern.match(text):
            return Asked(Question(category, {SLOTS.get(category, "name"): found[1]}), exact=False)
    return None


def needs_no_tool(trajectory: Trajectory) -> bool:
    """Whether the question can be answered without results, so that its answer needs no evidence."""
    question = _parsed(trajectory.prompt)
    return not trajectory.requires_tools or (question is not None and question.category in GENERAL_FORMS)


@lru_cache(maxsize=16)  # one question is read twice in a row
def _parsed(prompt: str) -> Question | None:
    return parse(prompt)
