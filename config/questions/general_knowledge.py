"""General-knowledge questions, which need no tools: arithmetic, units, programming terms, Python itself.

The entries are in general_knowledge.json.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from config.records import JsonObject


@dataclass(frozen=True)
class Unit:
    """One `large` equals `factor` times `small`."""

    large: str
    small: str
    factor: int


Entries = Mapping[str, tuple[str, tuple[str, ...]]]
"""name -> (the meaning that follows it in an answer, words of which a correct answer holds at least one)"""

_DATA: Final = json.loads((files("config.questions") / "general_knowledge.json").read_text(encoding="utf-8"))


def _entries(name: str) -> Entries:
    return {key: (meaning, tuple(words)) for key, (meaning, words) in _DATA[name].items()}


UNITS: Final = tuple(Unit(*entry) for entry in _DATA["units"])
TERMS: Final = _entries("terms")
BUILTINS: Final = _entries("builtins")
KEYWORDS: Final = _entries("keywords")
EXCEPTIONS: Final = _entries("exceptions")

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
    return f"{a} {operator} {b} is {result}.", {"number": result}


def _units(slots: Slots) -> tuple[str, JsonObject]:
    amount, large, small = int(slots["amount"]), slots["large"], slots["small"]
    factor = next((unit.factor for unit in UNITS if (unit.large, unit.small) == (large, small)), None)
    if factor is None:
        return f"I cannot convert {large} to {small}.", {"contains": ["cannot"]}
    return f"{amount} {large} are {amount * factor} {small}.", {"number": amount * factor}


def _definition(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = TERMS[slots["term"]]
    return f"{slots['term'][0].upper()}{slots['term'][1:]} is {meaning}.", {"any": list(words)}


def _builtin(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = BUILTINS[slots["builtin"]]
    return f"The built-in {slots['builtin']} {meaning}.", {"any": list(words)}


def _keyword(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = KEYWORDS[slots["keyword"]]
    return f"The keyword {slots['keyword']} {meaning}.", {"any": list(words)}


def _exception(slots: Slots) -> tuple[str, JsonObject]:
    meaning, words = EXCEPTIONS[slots["exception"]]
    return f"Python raises {slots['exception']} when {meaning}.", {"any": list(words)}


_ANSWERS: Final[Mapping[str, Callable[[Slots], tuple[str, JsonObject]]]] = {
    "arithmetic": _arithmetic,
    "units": _units,
    "definition": _definition,
    "builtin": _builtin,
    "keyword": _keyword,
    "exception": _exception,
}
