"""The wording of mined and general questions, and its parser.

The miner renders questions, the scripted teacher parses them. Each wording identifies its category and slots:
parse(render(question, form)) returns the same question.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from config.questions.general_knowledge import BUILTINS, EXCEPTIONS, KEYWORDS, TERMS, UNITS


@dataclass(frozen=True)
class Question:
    """A question, independent of its wording."""

    category: str
    slots: Mapping[str, str]


_FORMS: Final = json.loads((files("config.questions") / "wording.json").read_text(encoding="utf-8"))
TOOL_FORMS: Final[Mapping[str, Sequence[str]]] = _FORMS["tools"]
"""category -> wordings of questions that need tools"""
GENERAL_FORMS: Final[Mapping[str, Sequence[str]]] = _FORMS["general"]
"""category -> wordings of questions that need no tool"""

FORMS: Final[Mapping[str, Sequence[str]]] = {**TOOL_FORMS, **GENERAL_FORMS}
MISSING: Final = "missing"  # about names that do not exist, in the wording of questions about names that do
CODE_CATEGORIES: Final = (*TOOL_FORMS, MISSING)
CATEGORIES: Final = (*CODE_CATEGORIES, *GENERAL_FORMS)


def _one_of(*words: str) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


NAME: Final = r"[A-Za-z_]\w*"
PATH: Final = r"\w(?:[\w./+-]*\w)?"  # no spaces, so that the end of a path is unambiguous

SLOTS: Final[Mapping[str, str]] = {  # allowed values of each slot
    "name": NAME,
    "other": NAME,
    "module": rf"{NAME}(?:\.{NAME})*",
    "path": PATH,
    "folder": PATH,
    "file": r"\w(?:[\w.+-]*\w)?",
    "kind": "class|function",
    "a": r"\d{1,6}",
    "b": r"\d{1,6}",
    "amount": r"\d{1,6}",
    "operator": "plus|minus|times",
    "small": _one_of(*(unit.small for unit in UNITS)),
    "large": _one_of(*(unit.large for unit in UNITS)),
    "term": _one_of(*TERMS),
    "builtin": _one_of(*BUILTINS),
    "keyword": _one_of(*KEYWORDS),
    "exception": _one_of(*EXCEPTIONS),
}


# Search patterns, for the categories that one search answers. They contain no backslash: JSON doubles it, and small
# students get that wrong first.
NEEDLES: Final[Mapping[str, str]] = {
    "subclasses": "^class .*[(, ]{name}[,)]",
    "importers": "^(from|import) {module}( |$)",
    "parameters": "def {name}[(]",
    "decorators": "def {name}[(]",
    "docstring": "def {name}[(]",
    "both_defined": "(class|def) {name}[(:]",
    "contents": "^(class|def) ",
    "count_matches": "{name}",
    "constant": "^{name} = ",
}
KIND_NEEDLES: Final[Mapping[str, str]] = {"class": "class {name}[(:]", "function": "def {name}[(]"}


def needle(question: Question) -> str:
    """Search pattern for a question; KeyError for a category without one.

    The miner only asks questions that the matching lines answer in full, so a teacher that uses the pattern is correct.
    """
    slots = question.slots
    form = KIND_NEEDLES[slots["kind"]] if question.category == "where_defined" else NEEDLES[question.category]
    return form.format(**slots)


def render(question: Question, form: int = 0) -> str:
    """Render a question in one of its wordings; `form` counts from 0 and wraps around."""
    forms = FORMS[question.category]
    return forms[form % len(forms)].format(**question.slots)


def fits(question: Question) -> bool:
    """Whether every slot has an allowed value, so that the rendered question can be parsed."""
    return all(re.fullmatch(SLOTS[slot], value, re.ASCII) for slot, value in question.slots.items())


def parse(prompt: str) -> Question | None:
    """Parse a prompt; None if it matches no wording."""
    text = " ".join(prompt.split())
    for category, pattern in _patterns():
        if match := pattern.fullmatch(text):
            return Question(category, match.groupdict())
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((category, _pattern(form)) for category, forms in FORMS.items() for form in forms)


def _pattern(form: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", form)  # text, slot, text, slot, ..., text
    groups = (f"(?P<{part}>{SLOTS[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.compile("".join(groups), re.ASCII)
