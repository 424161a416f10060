"""Facts that a correct answer must state: the format of a prompt's `expect`, and the grading of an answer.

    {"number": 120, "unit": "minutes"}      also 120min, 2 h, "two hours"; no other number for the same
    {"number": 2, "counts": "files"}        2 lines are not 2 files
    {"names": ["Abort", "Exit"], "kind": "subclass"}    all of them, and no others in the list
    {"parameters": ["name", "options"]}     the same, also as a signature; self and cls may be there
    {"paths": ["app/base.py"], "root": "celery"}        also ./app/base.py, celery/app/base.py, celery.app.base
    {"paths": ["app/base.py"], "folder": "app"}         also base.py alone
    {"file": "app/base.py"}                 where a file is: its path, or its directory
    {"pairs": {"Task": "app/task.py"}}      each name with its own path
    {"value": "prefork"}                    an exact string, and no other
    {"sentence": "Release lock"}            what a docstring says
    {"missing": "TaskPool"}                 that nothing of this name was found, and no place or value of it
    {"contains": [...], "any": [...], "absent": [...]}  phrases: all, at least one, none
    {"no_call": true}                       no tool was called

Every key must hold. `about` lists what the question asks about; an answer about something else is wrong. `root` is the
directory name of the workspace. `kind` is one of KINDS in grading/schema.py. What an answer denies, it does not state.

`contains`, `any` and `absent` match whole words. Lower-case words and phrases ignore case; items that look like code
(capitals, digits, `_./` and similar) match exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from config.questions.grading.clauses import cleaned
from config.questions.grading.missing import missing_faults
from config.questions.grading.names import names_faults, parameters_faults
from config.questions.grading.number import number_faults
from config.questions.grading.paths import file_faults, pairs_faults, paths_faults
from config.questions.grading.raw_results import is_dump, without_results
from config.questions.grading.schema import ExpectedFacts, parse_expected
from config.questions.grading.wording import sentence_faults, value_faults, words_faults
from config.records import JsonObject

__all__ = ["ExpectedFacts", "Grade", "grade", "holds", "parse_expected"]


@dataclass(frozen=True)
class Grade:
    """Whether an answer is right, None if no fact of it can be decided, and what is missing or false in it."""

    correct: bool | None
    faults: tuple[str, ...] = ()


def grade(expect: JsonObject, answer: str, *, question: str = "", calls: int = 0) -> Grade:
    """Grade an answer that was given after `calls` tool calls; UsageError if `expect` is invalid.

    What the question says is not an answer to it: "2 hours are 2 hours" does not convert them.
    """
    expected = parse_expected(expect)
    faults: list[str] = []
    if expected.no_call and calls:
        faults.append(f"made {calls} {'call' if calls == 1 else 'calls'}, although the question needs none")
    if is_dump(answer) and not any(map(is_dump, (*expected.contains, *expected.any))):
        faults.append("is a dump of raw results")
        return Grade(correct=False, faults=tuple(faults))
    graded = False
    for found in _faults(expected, answer, question):
        if found is not None:
            graded = True
            faults += found
    return Grade(correct=not faults if graded else None, faults=tuple(faults))


def holds(expect: JsonObject, answer: str, *, question: str = "") -> bool:
    """Whether the answer states every fact of `expect`; UsageError if `expect` is invalid."""
    return grade(expect, answer, question=question).correct is True


def _stated(expected: ExpectedFacts, answer: str) -> str:
    """What of the answer can hold the phrases: no raw results, unless a wanted phrase is itself one."""
    return answer if any(map(is_dump, (*expected.contains, *expected.any))) else without_results(answer)


def _faults(expected: ExpectedFacts, answer: str, question: str) -> Iterator[list[str] | None]:
    """The faults by each key of `expect`; None where a key cannot be decided."""
    text, about = cleaned(answer), expected.about
    if expected.contains or expected.any or expected.absent:
        stated = words_faults(expected.contains, expected.any, (), _stated(expected, answer))
        yield [*stated, *words_faults((), (), expected.absent, answer)]
    if expected.number is not None:
        yield number_faults(expected.number, expected.unit, expected.counts, about, text, question)
    if expected.names:
        yield names_faults(expected.names, expected.kind, about, text)
    if expected.parameters:
        yield parameters_faults(expected.parameters, about, text)
    if expected.paths:
        yield paths_faults(expected.paths, expected.kind, about, text)
    if expected.file:
        yield file_faults(expected.file, text)
    if expected.pairs:
        yield pairs_faults(expected.pairs, text)
    if expected.value is not None:
        yield value_faults(expected.value, about, text)
    if expected.sentence is not None:
        yield sentence_faults(expected.sentence, about, text)
    if expected.missing is not None:
        yield missing_faults(expected.missing, text)
