"""General-knowledge questions, which need no tools: arithmetic, units, programming terms, Python itself.

The entries are in general_knowledge.json.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Final

from config.records import JsonObject


@dataclass(frozen=True)
class Unit:
    """One `large` equals `factor` times `small`."""

    large: str
    small: str
    factor: int


Entries = Mapping[str, str]
"""name -> the meaning that follows it in an answer"""

_DATA: Final = json.loads((files("config.questions") / "general_knowledge.json").read_text(encoding="utf-8"))


UNITS: Final = tuple(Unit(*entry) for entry in _DATA["units"])
TERMS: Final[Entries] = _DATA["terms"]
BUILTINS: Final[Entries] = _DATA["builtins"]
KEYWORDS: Final[Entries] = _DATA["keywords"]
EXCEPTIONS: Final[Entries] = _DATA["exceptions"]

Slots = Mapping[str, str]


def answer(category: str, slots: Slots) -> str | None:
    """Answer to a general question; None for other categories."""
    answer_and_facts = _ANSWERS.get(category)
    return answer_and_facts(slots)[0] if answer_and_facts else None


def expectation(category: str, slots: Slots) -> JsonObject:
    """The `expect` of a general question; KeyError for other categories."""
    return _ANSWERS[category](slots)[1]


def _arithmetic(slots: Slots) -> tuple[str, JsonObject]:
    a, b, operator = int(slots["a"]), int(slots["b"]), slots["operator"]
    result = {"plus": a + b, "minus": a - b, "times": a * b}[operator]
    return f"{a} {operator} {b} is {result}.", {"number": result, "no_call": True}


def _units(slots: Slots) -> tuple[str, JsonObject]:
    amount, large, small = int(slots["amount"]), slots["large"], slots["small"]
    factor = next((unit.factor for unit in UNITS if (unit.large, unit.small) == (large, small)), None)
    if factor is None:
        return f"I cannot convert {large} to {small}.", {"contains": ["cannot"], "no_call": True}
    return f"{amount} {large} are {amount * factor} {small}.", {
        "number": amount * factor,
        "unit": small,
        "no_call": True,
    }


def _entry(entries: Entries, slot: str, sentence: str, slots: Slots) -> tuple[str, JsonObject]:
    name = slots[slot]
    answer = sentence.format(name=name, meaning=entries[name])
    return answer[0].upper() + answer[1:], {"no_call": True}


_ANSWERS: Final[Mapping[str, Callable[[Slots], tuple[str, JsonObject]]]] = {
    "arithmetic": _arithmetic,
    "units": _units,
    "definition": partial(_entry, TERMS, "term", "{name} is {meaning}."),
    "builtin": partial(_entry, BUILTINS, "builtin", "The built-in {name} {meaning}."),
    "keyword": partial(_entry, KEYWORDS, "keyword", "The keyword {name} {meaning}."),
    "exception": partial(_entry, EXCEPTIONS, "exception", "Python raises {name} when {meaning}."),
}
