"""Natural wordings of answers: `state` gives facts, `deny` says that there is nothing."""

import json
import random
from importlib.resources import files

from benchmarks.sound import facts as facts_of
from config.questions.general_knowledge import answer as general_answer
from config.questions.wording import Question
from config.records import JsonObject

_DATA = json.loads((files("benchmarks.corruptions") / "phrases.json").read_text(encoding="utf-8"))
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def number_of(expect: JsonObject | None) -> int | None:
    """The number of an `expect`."""
    number = (expect or {}).get("number")
    return number if isinstance(number, int) else None


def state(question: Question, expect: JsonObject, rng: random.Random) -> str:
    """A sentence or a list that gives these facts as the answer."""
    if (told := general_answer(question.category, question.slots)) is not None:
        return told
    number = number_of(expect)
    if number is not None:
        return say(f"{question.category} number", question, rng, n=number)
    if question.category == "both_defined":
        raise ValueError("which name is in which file is not in the facts; use `pair`")
    return listed(question, facts_of(expect), rng)


def listed(question: Question, items: list[str], rng: random.Random) -> str:
    """A sentence or a list that names these items as the answer."""
    quoted = items if question.category == "docstring" else [f"`{item}`" for item in items]
    if len(items) == 1:
        return say(f"{question.category} one", question, rng, item=quoted[0])
    bullets = "\n".join(f"- {item}" for item in quoted)
    joined = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
    word = NUMBERS[len(items)] if len(items) < len(NUMBERS) else str(len(items))
    return say(f"{question.category} many", question, rng, items=joined, bullets=bullets, n=len(items), word=word)


def pair(question: Question, first: str, second: str, rng: random.Random) -> str:
    """The answer for two names: the first is in the file `first`, the other in `second`."""
    return say("both_defined pair", question, rng, first=first, second=second)


def deny(question: Question, rng: random.Random) -> str:
    """The answer that there is nothing."""
    return say(f"{question.category} none", question, rng)


def say(key: str, question: Question, rng: random.Random, **values: object) -> str:
    """One of the wordings under a key of phrases.json."""
    return str(rng.choice(_DATA[key])).format(**{**question.slots, **values})


def choose(key: str, rng: random.Random, **values: object) -> str:
    """One of the wordings under a key that needs no question."""
    return str(rng.choice(_DATA[key])).format(**values)


def summary(function: str) -> str | None:
    """What a function does, in other words than its docstring; written by hand for the installed celery."""
    text = _DATA["summaries"].get(function)
    return None if text is None else str(text)


def wordings(key: str) -> list[str]:
    """All wordings under a key."""
    return [str(text) for text in _DATA[key]]
