"""Grades answers about something that does not exist: it was not found, and nothing is asserted about it."""

import re
from typing import Final

from config.questions.grading.clauses import about_something_else, clauses
from config.questions.grading.paths import PATH

EXISTENCE: Final = re.compile(  # what a "not" must deny
    r"(?i)\b(?:find|found|finds|locate|located|exists?|defin\w+|declar\w+|match\w*|present|appears?|occurs?|occurrences?"
    r"|such|there|results?|sign|trace|(?:class|function|method|constant|definition|name|value|file)s?)\b"
)
ASSIGNED: Final = re.compile(r"(?i)(?:\b(?:is|to|value|equals?)|=)\s+[`'\"]?(?:\d|['\"`]|true\b|false\b)")
FILE: Final = re.compile(r"/|\.\w{1,4}$")


def missing_faults(name: str, text: str) -> list[str]:
    """What is wrong in the cleaned answer: it does not deny that `name` exists, or it says where or what it is."""
    denied = False
    for clause in clauses(text):
        placed = [
            token.group()
            for token in PATH.finditer(clause.text)
            if FILE.search(token.group()) and clause.asserts(*token.span())
        ]
        denying = bool(clause.negations) and bool(EXISTENCE.search(clause.text))
        if about_something_else(clause, [name], []):
            continue
        if placed:
            return [f"states {placed[0]} for {name}, which does not exist"]
        if not clause.negations and ASSIGNED.search(clause.text):
            return [f"states a value for {name}, which does not exist"]
        denied |= denying
    return [] if denied else [f"does not state that {name} was not found"]
