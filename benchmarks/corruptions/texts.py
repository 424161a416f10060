"""Faults of the answer's text: repetition, other languages, characters that only look right."""

# ruff: noqa: ARG001, D103 - every plant has the same signature, and the name of its kind describes it
import random
import re

from benchmarks.corruptions.kinds import (
    LISTS,
    UNSUPPORTED,
    WRONG,
    answered,
    asked,
    evidence,
    items,
    kind,
    swap,
    tell_items,
)
from benchmarks.corruptions.phrases import choose, facts_of, number_of
from benchmarks.corruptions.pinned_code import Code
from config.records import Trajectory

ODD = ("malformed", "repetition", WRONG)
LANGUAGE = ("malformed", "wrong_language", WRONG)
LOOK_ALIKE = {"a": "а", "e": "е", "o": "о", "c": "с", "p": "р", "x": "х", "i": "і"}  # noqa: RUF001 - Cyrillic
INVISIBLE = ("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad")


@kind("sentence repeated", *ODD)
def repeated(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if not t.tool_calls or "\n" in t.answer or len(t.answer) < 12:
        return None
    return answered(t, rng.choice((" ", "\n", "\n\n")).join([t.answer] * rng.choice((3, 4, 8))))


@kind("list items repeated", *ODD, UNSUPPORTED)
def repeated_items(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = items(t)
    if len(names) < 2:
        return None
    return tell_items(t, rng.choice(([*names, *names], [*names, *[names[-1]] * 4])), rng)


@kind("count of a list that names twice", *ODD, UNSUPPORTED)
def padded(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = items(t)
    if len(names) < 2 or t.category not in LISTS:
        return None
    bullets = "\n".join(f"{i}. `{name}`" for i, name in enumerate([*names, names[0]], 1))
    return answered(t, f"There are {len(names) + 1}:\n{bullets}")


def _in_language(t: Trajectory, language: str, rng: random.Random) -> Trajectory | None:
    question, facts, number = asked(t), facts_of(t.expect), number_of(t.expect)
    if not t.expect or not question.category or not t.tool_calls or question.category in ("both_defined", "docstring"):
        return None
    if number is not None:
        return answered(t, choose(f"{language} number", rng, n=number))
    if question.category == "where_defined":
        return answered(t, choose(f"{language} where", rng, **question.slots, item=facts[0]))
    quoted = ", ".join(f"`{fact}`" for fact in facts)
    return answered(t, choose(f"{language} list", rng, items=quoted))


@kind("answer in German", *LANGUAGE)
def german(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return _in_language(t, "german", rng)


@kind("answer in Chinese", *LANGUAGE)
def chinese(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return _in_language(t, "chinese", rng)


@kind("English answer that ends in Chinese", *LANGUAGE)
def ends_in_chinese(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return answered(t, f"{t.answer} {choose('chinese end', rng)}")


@kind("look-alike letter in a name", WRONG, UNSUPPORTED, "malformed", "chat_markup")
def look_alike(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = [f for f in facts_of(t.expect) if set(f) & LOOK_ALIKE.keys() and swap(t.answer, f, "") != t.answer]
    if not names or not t.tool_calls:
        return None
    name = rng.choice(names)
    place = rng.choice([i for i, letter in enumerate(name) if letter in LOOK_ALIKE])
    return answered(t, swap(t.answer, name, f"{name[:place]}{LOOK_ALIKE[name[place]]}{name[place + 1 :]}"))


@kind("invisible character in a name", WRONG, UNSUPPORTED, "malformed", "chat_markup")
def invisible(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = [f for f in facts_of(t.expect) if len(f) > 3 and swap(t.answer, f, "") != t.answer]
    if not names or not t.tool_calls:
        return None
    name = rng.choice(names)
    place = rng.randrange(1, len(name))
    return answered(t, swap(t.answer, name, f"{name[:place]}{rng.choice(INVISIBLE)}{name[place:]}"))


@kind("name in another case", WRONG, UNSUPPORTED)
def other_case(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = [f for f in facts_of(t.expect) if re.search(r"[A-Z]", f) and swap(t.answer, f, "") != t.answer]
    if not names or not t.tool_calls or t.category == "docstring":
        return None
    name = rng.choice(names)
    new = name.swapcase() if rng.random() < 0.5 else name.lower()
    return None if new in evidence(t) or new == name else answered(t, swap(t.answer, name, new))
