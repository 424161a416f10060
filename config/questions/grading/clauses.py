"""Splits an answer into clauses, and finds what each asserts, denies and speaks about."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from config.questions.grading.raw_results import without_results

BULLET: Final = re.compile(r"^(\s*)(?:[-*+\u2022]|\d{1,2}[.)])\s+|^(\s*)\|\s*")
SENTENCE_END: Final = re.compile(r"\n+|(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)[\"')*]*\s+|;\s+")
LIST_NUMBER: Final = re.compile(r"^(\s*)\d{1,2}[.)]\s+(?=\S)", re.MULTILINE)
CLAUSE_END: Final = re.compile(
    r",?\s+(?:but|while|whereas|where|which|although|though|because|since)\s+|\s+[\u2013\u2014]\s+"
    r"|\s\((?=[^()]*(?:\bnot\b|n't\b|\bno\b))"
    r"|,?\s+(?:and\s+|or\s+)?(?=not\s+(?:in|from|by|under)\b)"
    r"|,?\s+and\s+(?=(?:it\s+|they\s+)?(?:does|do|did|is|are|was|were|has|have|can|will)(?:\s+not\b|n't))",
    re.IGNORECASE,
)
NOT_DENYING: Final = re.compile(
    r"\b(?:not\s+(?:only|just|counting|including|considering)|no\s+(?:other|others|further|more|additional|matter)"
    r"|no\s+(?:\w+\s+){1,3}(?:other\s+than|except|besides|but)|nothing\s+else|none\s+other"
    r"|(?:not|n't)\s+(?:\w+\s+){0,3}(?:anywhere\s+else|elsewhere|any\s+other|anything\s+else))\b"
    r"|(?:\b(?:not|never|cannot)\b|n't\b)(?=[^.;\n]*\b(?:until|unless|except)\b)",
    re.IGNORECASE,
)
NEGATION: Final = re.compile(r"\b(?:not|never|no|none|neither|nor|nothing|nowhere|cannot)\b|n't\b", re.IGNORECASE)
DENYING_VERB: Final = re.compile(
    r"\b(?:is|are|was|were|do|does|did|has|have|can|could|will|would)(?:\s+not\b|n't\b)|\bcannot\b", re.IGNORECASE
)
VERB: Final = re.compile(
    r"(?<![\w.])(?:is|are|was|were|has|have|takes?|accepts?|inherits?|extends?|subclass(?:es)?|derives?|imports?|defines?"
    r"|holds?|contains?|includes?|lives?|sits?|resides?|equals?|uses?|stands?|calls?)(?![\w.(])|(?<=\s)=(?=\s)",
    re.IGNORECASE,
)
_PLAIN_SUBJECTS: Final = (  # words that refer to what was asked
    "it its it's they this that these those there both which who here answer result value definition location "
    "path function class classes constant method module file files directory folder package decorator "
    "decorators parameter parameters argument arguments signature docstring name names subclass subclasses "
    "import imports implementation statement code source line lines number count total setting variable "
    "functions items entries string integer attribute one database"
)
PLAIN_SUBJECTS: Final = frozenset(_PLAIN_SUBJECTS.split())
_ADVERBS: Final = "itself also only then directly all each together currently therefore exactly here indeed thus so now"
ADVERBS: Final = frozenset(_ADVERBS.split())
KIND_WORD: Final = re.compile(r"(?i)\b(?:function|class|method|constant|module|file|directory)\s+$")
TOKEN: Final = re.compile(r"@?(?:\.{0,2}/)?[A-Za-z_][\w]*(?:[./-]\w+)*|\*{1,2}\w+")
CODE: Final = re.compile(r"_|[a-z][A-Z]|[A-Z]{2}[a-z]|\w[./]\w|^[A-Z]\w*[A-Z0-9]")  # looks like a name in code


MOST_CHARS: Final = 4000  # right answers to these questions are far shorter; endless ones take quadratic time
MOST_WORDS: Final = 2  # of a subject that is a plain word: "the wheel is", not "it checks that the wheel is"


@dataclass(frozen=True)
class Clause:
    """A part of a sentence with one assertion. `denied_before` and `denied_after` are positions in its text."""

    text: str
    sentence: int
    negations: tuple[int, ...]
    denying_verbs: tuple[int, ...]

    def asserts(self, start: int, end: int) -> bool:
        """Whether the clause asserts what it says from `start` to `end`: "not in a.py" and "a.py is not" deny."""
        before = bool(self.negations) and self.negations[0] < start
        return not before and not (self.denying_verbs and self.denying_verbs[-1] >= end)

    def says(self, name: str) -> bool:
        """Whether the clause contains the name as a whole name; also a path in a longer one, or with a final slash."""
        return whole(name).search(self.text) is not None


def whole(name: str) -> re.Pattern[str]:
    """Pattern of a name that is not part of a longer one, though it may end a longer path or dotted name."""
    stem = re.escape(name.strip("/"))
    return re.compile(rf"(?<![\w-]){stem}(?!\w|-\w|\.\w|/\w)")


def cleaned(answer: str) -> str:
    """The start of an answer without raw results, code fences and bold marks, with plain quotes and minus."""
    text = (
        without_results(answer)[:MOST_CHARS]
        .replace("\u2212", "-")
        .replace("\u2019", "'")
        .replace("\u201c", '"')
        .replace("\u201d", '"')
    )
    text = re.sub(r"^\s*(?:```|~~~).*$", "", text.replace("\u00a0", " "), flags=re.MULTILINE)
    return re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\w)", r"\1", text).strip()


@lru_cache(maxsize=16)  # an answer is split once for each expected name
def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of a cleaned answer."""
    unnumbered = LIST_NUMBER.sub(r"\1- ", text)
    parts = (
        (number, part)
        for number, sentence in enumerate(SENTENCE_END.split(unnumbered))
        for part in CLAUSE_END.split(sentence)
    )
    return tuple(_clause(part, number) for number, part in parts if part.strip())


def _clause(text: str, sentence: int) -> Clause:
    masked = NOT_DENYING.sub(lambda match: "_" * len(match.group()), text)
    return Clause(
        text=text,
        sentence=sentence,
        negations=tuple(match.start() for match in NEGATION.finditer(masked)),
        denying_verbs=tuple(match.start() for match in DENYING_VERB.finditer(masked)),
    )


def about_something_else(clause: Clause, about: Iterable[str], expected: Iterable[str]) -> str | None:
    """The subject of the clause, if it is none of `about`, nothing expected and no word that refers to these."""
    names = list(about)
    if not names or any(clause.says(name) for name in names):
        return None
    verb = VERB.search(clause.text)
    if not verb:
        return None
    before = clause.text[: verb.start()]
    words = [word for word in TOKEN.finditer(before) if word.group().lower() not in ADVERBS]
    known = {item.rpartition("/")[2] for item in expected} | {*expected}
    for word in words:
        name = word.group().lstrip("@*./")
        named = (
            CODE.search(name)
            or KIND_WORD.search(before[: word.start()])
            or (word is words[-1] and len(words) <= MOST_WORDS)
        )
        if named and name not in known and name.rpartition("/")[2] not in known and not _plain(name):
            return name
    return None


def _plain(word: str) -> bool:
    return word.lower() in PLAIN_SUBJECTS
