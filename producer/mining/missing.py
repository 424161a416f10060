"""Generate questions about names that the code does not have: the right answer is "not found", after looking.

They are worded as the questions about names that exist. The names are composed of parts of real ones, so that nothing
but a search can tell them apart.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

from config.questions import typed_expectations as expect
from config.questions.wording import MISSING, Question
from producer.mining.mined_question import MinedQuestion
from producer.mining.python_code import WORD, Code

PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|_+")  # of a CamelCase or snake_case name
CONSTANT: Final = re.compile(r"[A-Z][A-Z_]*")
FEWEST_LETTERS: Final = 6


def missing(code: Code) -> Iterator[MinedQuestion]:
    """Where is a class or function, or what is the value of a constant, that does not exist?"""
    words = {word.lower() for source in code.sources for line in source.lines for word in WORD.findall(line)}
    kinds = {
        kind: [name for name, found in code.by_name.items() if found[0].kind == kind and not name.startswith("_")]
        for kind in ("class", "function")
    }
    assigned = (line.text.partition(" = ")[0] for line in code.assigning.lines)
    constants = list(dict.fromkeys(name for name in assigned if CONSTANT.fullmatch(name)))
    for kind, names in kinds.items():
        for name in _composed(names, words):
            yield _question(Question("where_defined", {"kind": kind, "name": name}), name)
    for name in _composed(constants, words):
        yield _question(Question("constant", {"name": name}), name)


def _question(question: Question, name: str) -> MinedQuestion:
    return MinedQuestion(question, expect.missing(name), named=MISSING)


def _composed(names: Sequence[str], words: set[str]) -> Iterator[str]:
    """The start of each name with the end of the next one that gives a name which is no word of the code."""
    parts = [found for name in names if len(found := PART.findall(name)) > 1]
    seen = set(words)
    for at, start in enumerate(parts):
        for step in count(1):
            if step == len(parts):
                break
            name = "".join((*start[:-1], parts[(at + step) % len(parts)][-1]))
            if len(name) >= FEWEST_LETTERS and name.lower() not in seen:
                seen.add(name.lower())
                yield name
                break
