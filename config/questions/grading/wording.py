"""Grades words: phrases that an answer must state, an exact value, and a docstring's sentence."""

import re
from collections.abc import Sequence
from typing import Final

from config.questions.grading.clauses import CLAUSE_END, NEGATION, NOT_DENYING, about_something_else, clauses
from config.questions.grading.lists import enumerations

BOUNDARY: Final = re.compile(rf"(?:[.!?;\n]\s|{CLAUSE_END.pattern})", re.IGNORECASE)
LITERAL: Final = re.compile(
    r"(?i)\b(?:is|are|was|to|or|equals|now)\s+(?:the\s+)?(?:string\s+|value\s+)?(['\"`])(?P<value>[^'\"`\n]*)\1"
)
BOOLEANS: Final = ("True", "False", "None")
_FILLER: Final = (  # words that carry no content of a docstring
    "a an the of to in on for from by with at as is are be been being it its this that these those and or if "
    "then else when which who whose what into onto up out so such any all each every some one given function "
    "method returns return returned used using use uses does do not no can may will would should must has have "
    "had there their they them than but also only just more most other same new current docstring say says "
    "describes called python"
)
FILLER: Final = frozenset(_FILLER.split())
OTHER_ASPECT: Final = re.compile(  # where something is, what it takes, names of files: not what it does
    r"(?i)\b(?:is|are)\s+(?:defined|located|found|implemented|declared)\s+(?:in|at|on)\s+\S+"
    r"|\btakes?\s+(?:the\s+|an?\s+)?(?:parameters?\s+|arguments?\s+)?[\w`*]+(?:(?:,\s*|\s+and\s+)[\w`*]+)*[.`]*$"
    r"|[\w./-]*\w\.py\b[\w./-]*|\w+_\w+"
)
ENOUGH: Final = 0.75  # of a sentence's content words, for a quotation with small changes


def mentions(item: str, text: str) -> list[re.Match[str]]:
    """Where the text has a phrase as whole words. Lower-case words ignore case; what looks like code is exact."""
    phrase = plain(item)
    pattern = r"(?<!\w)(?<!\w-)(?<!/)" + re.escape(phrase)
    if re.match(r"\w", phrase[-1]):
        pattern += r"(?!\w|[./-]\w|/)"
    is_code = " " not in phrase and not re.fullmatch(r"[^\W\d_A-Z]+", phrase)
    return list(re.finditer(pattern, text, 0 if is_code else re.IGNORECASE))


def plain(text: str) -> str:
    """Collapse white space and write `./app.py` as `app.py`."""
    return re.sub(r"(?<![\w./])\./(?=\w)", "", " ".join(text.split()))


def states(item: str, text: str) -> bool:
    """Whether the plain text states the phrase somewhere without a negation before it in the clause."""
    return any(not _denied(text[: match.start()]) for match in mentions(item, text))


def _denied(before: str) -> bool:
    clause = before
    for boundary in BOUNDARY.finditer(before):
        clause = before[boundary.end() :]
    return NEGATION.search(NOT_DENYING.sub("", clause)) is not None


def words_faults(contains: Sequence[str], any_: Sequence[str], absent: Sequence[str], answer: str) -> list[str]:
    """Phrases that are missing or must not be there."""
    text = plain(answer)
    missing = [item for item in contains if not states(item, text)]
    faults = [f"does not state {', '.join(map(repr, missing))}"] if missing else []
    if any_ and not any(states(item, text) for item in any_):
        faults.append(f"states none of {', '.join(map(repr, any_))}")
    forbidden = [item for item in absent if mentions(item, text)]
    return faults + ([f"contains {', '.join(map(repr, forbidden))}"] if forbidden else [])


def value_faults(value: str, about: Sequence[str], text: str) -> list[str]:
    """What is wrong with the value that the cleaned answer states; [] if it is right and the only one."""
    exact = re.compile(rf"(?<![\w./-]){re.escape(value)}(?!\w|[./-]\w|/)", re.IGNORECASE if value in BOOLEANS else 0)
    stated = False
    for clause in clauses(text):
        spans = [match.span() for match in exact.finditer(clause.text)]
        if about_something_else(clause, about, [value]):
            continue
        other = next((match["value"] for match in LITERAL.finditer(clause.text)), value)
        if other not in (value, *about):
            return [f"states {other!r}, expected {value!r}"]
        if any(not clause.asserts(*span) for span in spans):
            return [f"denies {value!r}"]
        for chain in enumerations(clause.text):
            others = [item.name for item in chain if item.name not in (value, *about) and "/" not in item.name]
            if others and any(item.name == value for item in chain):
                return [f"states {value!r} and {others[0]!r}"]
        stated = stated or bool(spans)
    return [] if stated else [f"does not state {value!r}"]


def sentence_faults(sentence: str, about: Sequence[str], text: str) -> list[str] | None:
    """What is wrong with an answer that has to say what a docstring's sentence says; None if that cannot be decided.

    Right: nearly all content words of the sentence, in any form. Wrong: none of them, or a denial. An answer between
    the two may be a paraphrase.
    """
    if any(not _denied(plain(text)[: match.start()]) for match in mentions(sentence, plain(text))):
        return []
    about_stems = _stems(" ".join(about).replace("_", " "))
    wanted = _stems(sentence)
    wanted = {stem for stem in wanted if not any(_same(stem, other) for other in about_stems)} or wanted
    said: set[str] = set()
    for clause in clauses(text):
        denying = clause.negations and not NEGATION.search(sentence)
        if about_something_else(clause, about, ()):
            continue
        stems = _stems(OTHER_ASPECT.sub(" ", clause.text))
        found = {stem for stem in wanted if any(_same(stem, other) for other in stems)}
        if denying and len(found) * 2 > len(wanted):
            return ["denies what the docstring says"]
        said |= set() if denying else found
    if not wanted:
        return None
    if len(said) >= ENOUGH * len(wanted):
        return []
    return None if said else ["states nothing of what the docstring says"]


def _stems(text: str) -> set[str]:
    words = re.findall(r"[A-Za-z]+", text.lower())
    return {_stem(word) for word in words if word not in FILLER and len(word) > 1}


def _stem(word: str) -> str:
    stem = re.sub(r"(?<=\w{3})(?:ies|ied)$", "y", word)
    stem = re.sub(r"(?<=\w{3})(?:ing|ed|es|s|e)$", "", stem)
    return re.sub(r"([bdfgklmnprt])\1$", r"\1", stem)


def _same(stem: str, other: str) -> bool:
    shorter, longer = sorted((stem, other), key=len)
    return shorter == longer or (len(shorter) >= 4 and longer.startswith(shorter))
