"""Facts that a correct answer must state: the format of a prompt's `expect`, and the check of an answer.

    {"contains": ["Task", "app/base.py"], "any": ["LIFO", "last in, first out"], "number": 12, "absent": ["celery"]}

Items match whole words only: `foo` does not match in `foobar` or `foo.py`, nor 12 in 112 or 12.5. Lower-case words and
phrases ignore case. Items that look like code (capitals, digits, `_./` and similar) match exactly.
Not detected: negation, and which fact belongs to which name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from config.did_you_mean import did_you_mean
from config.errors import UsageError
from config.records import JsonObject

KEYS: Final = ("contains", "any", "number", "absent")
NUMBER_WORDS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES: Final = ("hundred", "thousand", "million", "billion")


@dataclass(frozen=True)
class ExpectedFacts:
    """A validated `expect`."""

    contains: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    number: int | None = None
    absent: tuple[str, ...] = ()


def parse_expected(expect: JsonObject) -> ExpectedFacts:
    """Validate an `expect` object; UsageError describes what is invalid."""
    if not expect:
        raise UsageError(f"expect is empty; give at least one of {', '.join(KEYS)}, or remove it")
    for key in expect:
        if key not in KEYS:
            raise UsageError(f"expect has an unknown key {key!r}{did_you_mean(key, KEYS)}")
    lists = {key: _texts(key, expect[key]) for key in ("contains", "any", "absent") if key in expect}
    number = _number(expect["number"]) if "number" in expect else None
    return ExpectedFacts(number=number, **lists)


def holds(expect: JsonObject, answer: str) -> bool:
    """Whether the answer states every fact of `expect`; UsageError if `expect` is invalid."""
    expected = parse_expected(expect)
    text = _plain(answer)
    return (
        all(_mentions(item, text) for item in expected.contains)
        and (not expected.any or any(_mentions(item, text) for item in expected.any))
        and (expected.number is None or _has_number(expected.number, text))
        and not any(_mentions(item, text) for item in expected.absent)
    )


def _texts(key: str, value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"expect.{key} must be a list of strings with at least one item, not {value!r}")
    for item in value:
        if not isinstance(item, str) or not item.strip():
            raise UsageError(f"expect.{key} contains {item!r}; every item must be a non-empty string")
    return tuple(str(item) for item in value)


def _number(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"expect.number must be a whole number, not {value!r}")
    return value


def _plain(text: str) -> str:
    """Collapse white space and write `./app.py` as `app.py`."""
    return re.sub(r"(?<![\w./])\./(?=\w)", "", " ".join(text.split()))


def _mentions(item: str, text: str) -> bool:
    phrase = _plain(item)
    whole = r"(?<!\w)(?<!\w-)(?<!/)" + re.escape(phrase)
    if re.match(r"\w", phrase[-1]):
        whole += r"(?!\w|[./-]\w|/)"
    return re.search(whole, text, 0 if _is_code(phrase) else re.IGNORECASE) is not None


def _is_code(phrase: str) -> bool:
    return " " not in phrase and not re.fullmatch(r"[^\W\d_A-Z]+", phrase)


def _has_number(number: int, text: str) -> bool:
    """Whether the text contains the number in digits (also as 1,234 or 12.0), or as a word up to twenty."""
    forms = "|".join(re.escape(form) for form in {str(number), f"{number:,}"})
    if re.search(rf"(?<![\w.,:/-])(?:{forms})(?:\.0+)?(?!\w|[.,:/]\d|-\w)", text):
        return True
    return 0 <= number < len(NUMBER_WORDS) and any(map(_is_complete(text), _words(NUMBER_WORDS[number], text)))


def _words(word: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(rf"(?<![\w-]){word}(?![\w-])", text, re.IGNORECASE))


def _is_complete(text: str) -> Callable[[re.Match[str]], bool]:
    """Predicate: the number word is a whole number, not part of "twenty one", "two hundred" or "one of"."""

    def complete(match: re.Match[str]) -> bool:
        before = text[: match.start()].lower().split()[-1:]
        after = re.findall(r"\w+", text[match.end() :].lower())[:1]
        word = match.group().lower()
        if after and (after[0] in SCALES or (word in TENS and after[0] in NUMBER_WORDS[1:10])):
            return False
        if before and (before[0] in TENS or before[0] in SCALES):
            return False
        return not (word == "one" and (after == ["of"] or before == ["no"]))

    return complete
