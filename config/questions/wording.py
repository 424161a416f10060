"""The wording of mined and general questions, and its parser.

The miner renders questions, the scripted teacher parses them. Each wording identifies its category and slots:
parse(render(question, form)) returns the same question.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from config.questions.general_knowledge import BUILTINS, EXCEPTIONS, KEYWORDS, TERMS, UNITS


@dataclass(frozen=True)
class Question:
    """A question, independent of its wording."""

    category: str
    slots: Mapping[str, str]


# Questions that need tools.
TOOL_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "subclasses": (
        "Which classes inherit from {name}?",
        "List the direct subclasses of {name}.",
        "Which classes have {name} as a base class?",
        "Find the classes that extend {name}.",
    ),
    "importers": (
        "Which files import the module {module}?",
        "List the files that import {module}.",
        "Where is the module {module} imported?",
        "Find every file that imports {module}.",
    ),
    "parameters": (
        "What parameters does the function {name} take?",
        "List the parameters of the function {name}.",
        "Which arguments does the function {name} accept?",
        "What is the signature of the function {name}?",
    ),
    "count_files": (
        "How many Python files are under the directory {folder}?",
        "Count the Python files under {folder}.",
        "How many .py files does the directory {folder} hold, with its subdirectories?",
        "What is the number of Python files under {folder}?",
    ),
    "count_matches": (
        "How many lines of {path} contain {name}?",
        "Count the lines in {path} that mention {name}.",
        "On how many lines of {path} does {name} occur?",
        "What is the number of lines with {name} in {path}?",
    ),
    "decorators": (
        "Which decorators does the function {name} have?",
        "List the decorators of the function {name}.",
        "How is the function {name} decorated?",
        "What decorators stand above the function {name}?",
    ),
    "where_defined": (
        "Where is the {kind} {name} defined?",
        "Which file defines the {kind} {name}?",
        "In which file is the {kind} {name} defined?",
        "Find the definition of the {kind} {name}.",
    ),
    "contents": (
        "Which classes and functions does {path} define?",
        "List the top-level classes and functions of {path}.",
        "What does the file {path} define at the top level?",
        "What classes and functions are defined in {path}?",
    ),
    "docstring": (
        "What does the function {name} do?",
        "What does the docstring of the function {name} say?",
        "Describe the function {name} in one sentence.",
        "What is the function {name} for?",
    ),
    "both_defined": (
        "Where are {name} and {other} defined?",
        "Which files define {name} and {other}?",
        "Find the definitions of {name} and {other}.",
        "In which files are {name} and {other} defined?",
    ),
    "folder_files": (
        "Which Python files are directly in the directory {folder}?",
        "List the Python files in the directory {folder}.",
        "What Python files does the directory {folder} hold?",
        "Name the Python files in {folder}.",
    ),
    "find_file": (
        "Where is the file {file}?",
        "Find the file {file}.",
        "What is the path of the file {file}?",
        "In which directory is the file {file}?",
    ),
    "constant": (
        "What is the value of the constant {name}?",
        "What is the constant {name} set to?",
        "Which value does the constant {name} have?",
        "Look up the constant {name}.",
    ),
}

# Questions that need no tool.
GENERAL_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "arithmetic": (
        "What is {a} {operator} {b}?",
        "Calculate {a} {operator} {b}.",
        "How much is {a} {operator} {b}?",
        "Please work out {a} {operator} {b}.",
    ),
    "units": (
        "How many {small} are in {amount} {large}?",
        "Convert {amount} {large} to {small}.",
        "What is {amount} {large} in {small}?",
        "Express {amount} {large} in {small}.",
    ),
    "definition": (
        "What is {term}?",
        "Explain briefly what {term} is.",
        "Define {term} in one sentence.",
        "In programming, what is {term}?",
    ),
    "builtin": (
        "What does the Python built-in {builtin} do?",
        "What is the Python built-in {builtin} for?",
        "Explain the Python built-in {builtin}.",
        "In Python, what does the built-in {builtin} do?",
    ),
    "keyword": (
        "What does the Python keyword {keyword} do?",
        "What is the Python keyword {keyword} for?",
        "Explain the Python keyword {keyword}.",
        "In Python, what does the keyword {keyword} mean?",
    ),
    "exception": (
        "When does Python raise {exception}?",
        "What does the Python exception {exception} mean?",
        "Explain the Python exception {exception}.",
        "In Python, what causes {exception}?",
    ),
}

FORMS: Final[Mapping[str, tuple[str, ...]]] = {**TOOL_FORMS, **GENERAL_FORMS}


def _one_of(*words: str) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


NAME: Final = r"[A-Za-z_]\w*"
PATH: Final = r"\w(?:[\w./+-]*\w)?"  # no spaces, so that the end of a path is unambiguous

SLOTS: Final[Mapping[str, str]] = {  # allowed values of each slot
    "name": NAME,
    "other": NAME,
    "module": rf"{NAME}(?:\.{NAME})*",
    "path": PATH,
    "folder": PATH,
    "file": r"\w(?:[\w.+-]*\w)?",
    "kind": "class|function",
    "a": r"\d{1,6}",
    "b": r"\d{1,6}",
    "amount": r"\d{1,6}",
    "operator": "plus|minus|times",
    "small": _one_of(*(unit.small for unit in UNITS)),
    "large": _one_of(*(unit.large for unit in UNITS)),
    "term": _one_of(*TERMS),
    "builtin": _one_of(*BUILTINS),
    "keyword": _one_of(*KEYWORDS),
    "exception": _one_of(*EXCEPTIONS),
}


# Search patterns, for the categories that one search answers. They contain no backslash: JSON doubles it, and small
# students get that wrong first.
NEEDLES: Final[Mapping[str, str]] = {
    "subclasses": "^class .*[(, ]{name}[,)]",
    "importers": "^(from|import) {module}( |$)",
    "parameters": "def {name}[(]",
    "decorators": "def {name}[(]",
    "docstring": "def {name}[(]",
    "both_defined": "(class|def) {name}[(:]",
    "contents": "^(class|def) ",
    "count_matches": "{name}",
    "constant": "^{name} = ",
}
KIND_NEEDLES: Final[Mapping[str, str]] = {"class": "class {name}[(:]", "function": "def {name}[(]"}


def needle(question: Question) -> str:
    """Search pattern for a question; KeyError for a category without one.

    The miner only asks questions that the matching lines answer in full, so a teacher that uses the pattern is correct.
    """
    slots = question.slots
    form = KIND_NEEDLES[slots["kind"]] if question.category == "where_defined" else NEEDLES[question.category]
    return form.format(**slots)


def render(question: Question, form: int = 0) -> str:
    """Render a question in one of its wordings; `form` counts from 0 and wraps around."""
    forms = FORMS[question.category]
    return forms[form % len(forms)].format(**question.slots)


def fits(question: Question) -> bool:
    """Whether every slot has an allowed value, so that the rendered question can be parsed."""
    return all(re.fullmatch(SLOTS[slot], value, re.ASCII) for slot, value in question.slots.items())


def parse(prompt: str) -> Question | None:
    """Parse a prompt; None if it matches no wording."""
    text = " ".join(prompt.split())
    for category, pattern in _patterns():
        if match := pattern.fullmatch(text):
            return Question(category, match.groupdict())
    return None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((category, _pattern(form)) for category, forms in FORMS.items() for form in forms)


def _pattern(form: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", form)  # text, slot, text, slot, ..., text
    groups = (f"(?P<{part}>{SLOTS[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.compile("".join(groups), re.ASCII)
