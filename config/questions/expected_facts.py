"""Facts a correct answer must state: the shape of a prompt's `expect`, and whether an answer holds them.

    {"contains": ["Task", "app/base.py"], "any": ["LIFO", "last in, first out"], "number": 12, "absent": ["celery"]}

Every item is looked for as a whole: `foo` is neither in `foobar` nor in `foo.py`, 12 neither in 112 nor in 12.5. Words
in lower case and phrases are found in any case; what looks like code (capitals, digits, `_./` and the like) is exact.
What this does not see: negation, and which fact belongs to which name.
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
    """A checked `expect`."""

    contains: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    number: int | None = None
    absent: tuple[str, ...] = ()


def parse_expected(expect: JsonObject) -> ExpectedFacts:
    """The facts of an `expect` object; UsageError names what is wrong with its shape."""
    if not expect:
        raise UsageError(f"expect is empty; give at least one of {', '.join(KEYS)}, or leave it out")
    for key in expect:
        if key not in KEYS:
            raise UsageError(f"expect has the unknown key {key!r}{did_you_mean(key, KEYS)}")
    lists = {key: _texts(key, expect[key]) for key in ("contains", "any", "absent") if key in expect}
    number = _number(expect["number"]) if "number" in expect else None
    return ExpectedFacts(number=number, **lists)


def holds(expect: JsonObject, answer: str) -> bool:
    """True when the answer states every fact of `expect`; UsageError when `expect` has another shape."""
    wanted = parse_expected(expect)
    text = _plain(answer)
    return (
        all(_says(item, text) for item in wanted.contains)
        and (not wanted.any or any(_says(item, text) for item in wanted.any))
        and (wanted.number is None or _counts(wanted.number, text))
        and not any(_says(item, text) for item in wanted.absent)
    )


def _texts(key: str, value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"expect.{key} must be a list of texts with at least one item, not {value!r}")
    for item in value:
        if not isinstance(item, str) or not item.strip():
            raise UsageError(f"expect.{key} holds {item!r}; every item must be a text that is not empty")
    return tuple(str(item) for item in value)


def _number(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"expect.number must be a whole number, not {value!r}")
    return value


def _plain(text: str) -> str:
    """White space folded, and `./app.py` written as `app.py`."""
    return re.sub(r"(?<![\w./])\./(?=\w)", "", " ".join(text.split()))


def _says(item: str, text: str) -> bool:
    phrase = _plain(item)
    whole = r"(?<!\w)(?<!\w-)(?<!/)" + re.escape(phrase)
    if re.match(r"\w", phrase[-1]):
        whole += r"(?!\w|[./-]\w|/)"
    return re.search(whole, text, 0 if _is_code(phrase) else re.IGNORECASE) is not None


def _is_code(phrase: str) -> bool:
    return " " not in phrase and not re.fullmatch(r"[^\W\d_A-Z]+", phrase)


def _counts(number: int, text: str) -> bool:
    """The number stands in the text in digits (also 1,234 and 12.0), or as a word up to twenty."""
    forms = "|".join(re.escape(form) for form in {str(number), f"{number:,}"})
    if re.search(rf"(?<![\w.,:/-])(?:{forms})(?:\.0+)?(?!\w|[.,:/]\d|-\w)", text):
        return True
    return 0 <= number < len(NUMBER_WORDS) and any(map(_stands_alone(text), _words(NUMBER_WORDS[number], text)))


def _words(word: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(rf"(?<![\w-]){word}(?![\w-])", text, re.IGNORECASE))


def _stands_alone(text: str) -> Callable[[re.Match[str]], bool]:
    """Whether a number word is the whole number: not a part of "twenty one" or "two hundred", nor "one of"."""

    def alone(found: re.Match[str]) -> bool:
        before = text[: found.start()].lower().split()[-1:]
        after = re.findall(r"\w+", text[found.end() :].lower())[:1]
        word = found.group().lower()
        if after and (after[0] in SCALES or (word in TENS and after[0] in NUMBER_WORDS[1:10])):
            return False
        if before and (before[0] in TENS or before[0] in SCALES):
            return False
        return not (word == "one" and (after == ["of"] or before == ["no"]))

    return alone
