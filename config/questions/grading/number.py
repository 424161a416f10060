"""Grades the number that an answer states."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from config.questions.grading.clauses import CODE, TOKEN, Clause, about_something_else, clauses
from config.questions.grading.quantities import Quantity, noun_of, quantities, unit_of

_GENERIC: Final = (  # words of an answer to a counting question that say nothing about what is counted
    "a an the it its there that this is are was were has have be in of on under with and all total exactly only "
    "just python py files file lines line contains contain containing found find matching match matches counted "
    "count result answer tool search including includes include subdirectories recursively directly below "
    "inside within directory folder number which occurs occur occurring times time mention mentions mentioned "
    "name appears appear i we they them at top level for these those so by not case sensitive each as well both "
    "together exist exists listed present returned shows show defines defined or imports imported holds hold "
    "reference references referenced different across to"
)
GENERIC: Final = frozenset(_GENERIC.split())
SCOPE: Final = re.compile(r"(?i)\b(?:in|of|under|from|below|inside|within)\s+[`'\"]*([\w./-]*[\w/])")


def number_faults(
    expected: int | float, unit: str | None, counts: str | None, about: Sequence[str], text: str, question: str
) -> list[str]:
    """What is wrong with the number that the cleaned answer states; [] if it is right."""
    wanted = Fraction(str(expected))
    called = f"{expected} {unit or counts or ''}".strip()
    stated: list[Fraction] = []
    steps: list[Fraction] = []
    others: list[str] = []
    denied = foreign = ""
    for clause in clauses(text):
        said = -1  # where the clause has said the wanted number
        for quantity in quantities(clause.text):
            value = _value(quantity, wanted, unit, counts)
            if value is None:
                others.append(clause.text[quantity.start : quantity.end + 20].strip())
            elif _is_given(quantity, wanted, unit, question):
                continue
            elif other := _other_unit(clause, quantity, unit, question):
                others.append(f"{clause.text[quantity.start : quantity.end]} {other}")
            elif not clause.asserts(quantity.start, quantity.end):
                denied = denied or (str(expected) if value == wanted else "")
            elif subject := _other_subject(clause, quantity, counts, about):
                foreign = foreign or subject
            elif said < 0 or not re.search(r"[:(]", clause.text[said : quantity.start]):
                (steps if quantity.step else stated).append(value)
                said = quantity.end if value == wanted else said
    if not stated and steps:
        stated = [wanted] if wanted in steps else steps
    if denied:
        return [f"denies {called}"]
    different = [value for value in stated if value != wanted]
    if wanted in stated and (not different or (len(different) > 1 and sum(different) == wanted)):  # or a break-down
        return []
    if different:
        return [f"states {' and '.join(_shown(value) for value in dict.fromkeys(stated))}, expected {called}"]
    if foreign:
        return [f"is about {foreign!r}, not about {' and '.join(about) or 'what was asked'}"]
    return [f"states {others[0]!r}, expected {called}" if others else f"does not state {called}"]


def _value(quantity: Quantity, wanted: Fraction, unit: str | None, counts: str | None) -> Fraction | None:
    """The quantity as an answer to the question; None if it measures or counts something else."""
    if unit is not None:
        name = unit_of(unit) or unit
        return quantity.in_unit(name) if quantity.unit or not quantity.noun or quantity.noun == noun_of(unit) else None
    if counts is not None:
        kind = noun_of(counts) or counts
        return quantity.value if quantity.noun in (None, kind) and quantity.unit is None else None
    return quantity.value if quantity.noun is None or quantity.value == wanted else None


def _other_unit(clause: Clause, quantity: Quantity, unit: str | None, question: str) -> str | None:
    """The unit in which the clause gives a bare number: "In hours: 3900" to a question about centimetres."""
    if unit is None or quantity.unit is not None:
        return None
    allowed = {unit_of(unit), *(unit_of(word.lower()) for word in TOKEN.findall(question))}
    words = [word.lower() for word in TOKEN.findall(clause.text) if len(word) > 2]
    return next((word for word in words if unit_of(word) and unit_of(word) not in allowed), None)


def _is_given(quantity: Quantity, wanted: Fraction, unit: str | None, question: str) -> bool:
    """Whether the question itself gives this quantity, so that the answer only repeats it."""
    same = [given for given in quantities(question) if given.value == quantity.value]
    if unit is None:
        return any(True for _ in same) and quantity.value != wanted
    return any(quantity.unit == given.unit or (quantity.unit is None and quantity.value != wanted) for given in same)


def _other_subject(clause: Clause, quantity: Quantity, counts: str | None, about: Sequence[str]) -> str | None:
    """What the clause speaks about, if that is not what was asked."""
    if counts is None:
        return about_something_else(clause, about, ())
    if not about or all(clause.says(name) for name in about):
        return None
    text = re.split(r":|\(|\bincluding\b|\bnamely\b|\bsuch as\b", clause.text[quantity.end :])[0]
    head = re.split(r":\s", clause.text[: quantity.start])[-1]
    for scope in SCOPE.finditer(f"{head} {text}"):
        if CODE.search(scope[1]) and not any(_same(scope[1], name) for name in about):
            return scope[1]
    known = {part for name in about for part in (name, *name.split("/"))}
    bare = re.sub(r"[\w./-]*/[\w./-]*|\w+\.\w+", " ", f"{head} {text}")
    for word in TOKEN.finditer(bare):
        name = word.group()
        if name.lower() not in GENERIC and not noun_of(name) and name not in known:
            return name
    return None


def _same(path: str, name: str) -> bool:
    path, name = path.strip("/").removeprefix("./"), name.strip("/")
    return path == name or path.endswith(f"/{name}")


def _shown(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else str(float(value))
