"""Extracts the quantities of a text: numbers in digits and words, with their unit or what they count."""

import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Final

from config.questions.general_knowledge import UNITS

_SMALL: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL: Final = {word: value for value, word in enumerate(_SMALL.split())}
TENS: Final = {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
WORD: Final = "|".join((*SMALL, *TENS, *SCALES))
WORDS: Final = re.compile(
    rf"(?i)(?<![\w-])(?:a\s+(?=hundred|thousand|million))?(?:{WORD})(?:(?:-|\s+and\s+|\s+)(?:{WORD}))*(?![\w-])"
)
PRONOUN: Final = re.compile(r"(?i)(?:\b(?:no|this|that|the|each|any|every|which|first|another|only)\s+$)")
DIGITS: Final = re.compile(
    r"(?<![\w.,:/#@$^+-])(?:(?<=[=(])|)-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:(?=[A-Za-z]{1,12}\b)|(?!\w|[.:/]\d|-\w|%))"
)
NOT_QUANTITIES: Final = re.compile(  # numbers that are names: lines, paths, versions, list numbers, hexadecimal
    r"(?i)\b(?:lines?|ll?\.?|rows?|columns?|step|version|python|section|chapter|issue|pep)\s*(?:no\.?\s*)?#?"
    r"\d+(?:\s*(?:-|\u2013|to\b|and\b|,|, and\b)\s*\d+(?!\s+(?!and\b|to\b|in\b|of\b)[a-z]))*"
    r"|\d+\s*(?:\^|\*\*)\s*\d+(?:\s*[-+]\s*\d+)?"
    r"|[\w./-]*[a-z_/][\w./-]*\.\w+(?::\d+(?::\d+)?)?|\b0x[0-9a-f]+\b|\bv?\d+\.\d+\.\d+\S*|^\s*\d{1,2}[.)]\s+(?=\S)"
    r"|(?:\.{0,2}/)?\b[a-z_]\w*/\S*"
)
ALIASES: Final = {
    "min": "minutes", "mins": "minutes", "h": "hours", "hr": "hours", "hrs": "hours", "s": "seconds", "sec": "seconds",
    "secs": "seconds", "m": "metres", "meter": "metres", "meters": "metres", "cm": "centimetres", "mm": "millimetres",
    "centimeter": "centimetres", "centimeters": "centimetres", "millimeter": "millimetres",
    "millimeters": "millimetres", "km": "kilometres", "kilometer": "kilometres", "kilometers": "kilometres",
    "kg": "kilograms", "g": "grams", "l": "litres", "liter": "litres", "liters": "litres", "ml": "millilitres",
    "milliliter": "millilitres", "milliliters": "millilitres", "kib": "kibibytes", "b": "bytes", "ft": "feet",
    "foot": "feet", "inch": "inches", "yd": "yards", "yds": "yards", "century": "centuries", "wk": "weeks",
    "yr": "years", "yrs": "years", "mo": "months",
}  # fmt: skip
COUNTED: Final = {
    "files": "file module script",
    "lines": "line time occurrence match mention place",  # how often a name occurs, in lines
    "classes": "class subclass",
    "functions": "function method",
    "parameters": "parameter argument",
    "directories": "directory folder subdirectory subfolder",
    "definitions": "definition import docstring comment character word result call test entry item name",
}
"""what may be counted -> singular nouns for it"""
OPERATORS: Final = {"+": "+", "plus": "+", "-": "-", "minus": "-", "times": "*", "x": "*", "\u00d7": "*", "*": "*"}
OPERATION: Final = re.compile(
    r"(?i)^\s*(?:[a-z]+\s+)?(\+|-|\u00d7|\*|x|plus|minus|times|multiplied by|/|\u00f7|\^)\s*$"
)
EQUALS: Final = re.compile(r"(?i)^[\s*`]*(?:[a-z]+\s+)?(?:=|is|are|equals|gives|makes|comes to|is equal to)[\s*`]*$")
PER: Final = re.compile(r"(?i)^\s*\w+\s+(?:in|per|for|to|make|makes)\s+(?:a|an|one|1|each|every|the)\b")
ONE_IS: Final = re.compile(r"(?i)\b(?:a|an|one|1|each|every)\s+(\w+)\s+(?:is|has|=|equals|contains|are|holds)\s+$")
MOST: Final = 60  # quantities read from one clause
PHRASE_END: Final = re.compile(r"[,;:()=+\u00d7]|\.(?:\s|$)|\b(?:and|or|is|are|was|were|that|which)\b")
OF: Final = re.compile(r"(?i)^\s*(?:out\s+)?of\s+(?:the\s+)?$")
APPLY: Final = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@dataclass(frozen=True)
class Quantity:
    """A number in a text. `unit` and `noun` are None if it has none that is known."""

    value: Fraction
    start: int
    end: int
    unit: str | None = None
    noun: str | None = None
    step: bool = False
    """the result of a true equation"""

    def in_unit(self, unit: str) -> Fraction | None:
        """The value in another unit; None if they measure different things. Without a unit it is taken as given."""
        if self.unit is None or self.unit == unit:
            return self.value
        factors = conversions(self.unit)
        return self.value * factors[unit] if unit in factors else None


@cache
def conversions(unit: str) -> Mapping[str, Fraction]:
    """unit -> how many of it make one of the given unit, for all units that measure the same."""
    found = {unit: Fraction(1)}
    pending = [unit]
    while pending:
        at = pending.pop()
        for large, small, factor in ((entry.large, entry.small, entry.factor) for entry in UNITS):
            for here, there, times in ((large, small, Fraction(factor)), (small, large, Fraction(1, factor))):
                if here == at and there not in found:
                    found[there] = found[at] * times
                    pending.append(there)
    return found


UNIT_NAMES: Final = frozenset(name for unit in UNITS for name in (unit.large, unit.small))


def unit_of(word: str) -> str | None:
    """The unit that a word names, in its plural: "min" -> "minutes"."""
    word = word.lower().rstrip(".")
    for name in (word, f"{word}s", ALIASES.get(word, "")):
        if name in UNIT_NAMES:
            return name
    return None


def noun_of(word: str) -> str | None:
    """What a word says is counted: "subclass" -> "classes"."""
    word = word.lower()
    singulars = {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}
    return next((kind for kind, nouns in COUNTED.items() if singulars & set(nouns.split())), None)


def quantities(text: str) -> list[Quantity]:
    """The quantities of a text, without line numbers, versions, numbers in names, and the terms of true equations."""
    masked = NOT_QUANTITIES.sub(lambda match: "_" * len(match.group()), text)
    found = sorted((*_digits(masked), *_words(masked)), key=lambda quantity: quantity.start)[:MOST]
    return _without_terms(_with_nouns(found, text), text)


def _digits(text: str) -> Iterator[Quantity]:
    for match in DIGITS.finditer(text):
        yield Quantity(Fraction(match.group().replace(",", "")), match.start(), match.end())


def _words(text: str) -> Iterator[Quantity]:
    for match in WORDS.finditer(text):
        words = re.findall(WORD, match.group().lower())
        if words == ["one"] and (
            PRONOUN.search(text[: match.start()]) or re.match(r"(?i)\s+of\b|\s*,|\s+is\b", text[match.end() :])
        ):
            continue
        total = current = 0
        for word in words:
            if word in SCALES:
                current = max(current, 1) * SCALES[word]
                if word != "hundred":
                    total, current = total + current, 0
            else:
                current += SMALL.get(word, TENS.get(word, 0))
        yield Quantity(Fraction(total + current), match.start(), match.end())


def _with_nouns(found: list[Quantity], text: str) -> list[Quantity]:
    named: list[Quantity] = []
    for index in range(len(found) - 1, -1, -1):  # from the end, for "1 of 3 files"
        quantity = found[index]
        until = found[index + 1].start if named else len(text)
        following = text[quantity.end : until]
        words = re.findall(r"[A-Za-z]+", PHRASE_END.split(following)[0])[:4]
        unit = next((unit for word in words[:2] if (unit := unit_of(word))), None)
        noun = next((noun for word in words if (noun := noun_of(word))), None)
        if named and OF.match(following):
            noun = named.pop().noun  # the total that it is a part of
        named.append(replace(quantity, unit=unit, noun=noun))
    return named[::-1]


def _without_terms(found: list[Quantity], text: str) -> list[Quantity]:
    """Drop the operands of equations and conversion rates, and mark the results of true equations."""
    kept: list[Quantity] = []
    index = 0
    while index < len(found):
        end = index
        signs: list[str] = []
        while end + 1 < len(found) and (sign := OPERATION.match(_between(found, end, text))):
            signs.append(OPERATORS.get(sign[1].lower(), "?"))
            end += 1
        result = found[end + 1] if end + 1 < len(found) and EQUALS.match(_between(found, end, text)) else None
        if signs and result:
            true = _total([term.value for term in found[index : end + 1]], signs) == result.value
            kept.append(replace(result, step=true))
        elif not signs and result and _is_rate_of_one(found[index], result):
            pass
        elif not signs:
            kept += [] if _is_rate(found[index], text) else [found[index]]
            result = None
        index = end + (2 if result else 1)
    return kept


def _is_rate_of_one(one: Quantity, other: Quantity) -> bool:
    """Whether two quantities say how much one of a unit is: "1 hour = 60 minutes"."""
    return one.value == 1 and bool(one.unit and other.unit) and one.in_unit(other.unit or "") == other.value


def _between(found: list[Quantity], index: int, text: str) -> str:
    return text[found[index].end : found[index + 1].start]


def _is_rate(quantity: Quantity, text: str) -> bool:
    """Whether it says how much of one unit another has: "8 bits in a byte", "a byte is 8 bits"."""
    one = ONE_IS.search(text[: quantity.start])
    per = PER.match(text[quantity.end :])
    return bool(quantity.unit and (per or (one and unit_of(one[1]))))


def _total(values: list[Fraction], signs: list[str]) -> Fraction | None:
    """The value of a chain of operations, products first; None if an operation is unknown."""
    terms, joins = [values[0]], []
    for sign, value in zip(signs, values[1:], strict=True):
        if sign not in APPLY:
            return None
        if sign == "*":
            terms[-1] *= value
        else:
            terms.append(value)
            joins.append(sign)
    total = terms[0]
    for sign, value in zip(joins, terms[1:], strict=True):
        total = APPLY[sign](total, value)
    return total
