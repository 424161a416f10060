"""Mined questions, answered in the styles of models: every right style passes, every wrong one fails."""

# ruff: noqa: ARG005, E501 - a style uses the facts that it needs

from collections.abc import Callable, Iterator
from pathlib import Path

import celery
import pytest

from config.questions.expected_facts import grade, holds
from config.questions.wording import Question, render
from config.records import JsonObject
from producer.mining.code_questions import candidates
from producer.mining.mined_question import MinedQuestion
from producer.mining.python_code import read

Facts = dict[str, str]
Answer = str | Callable[[Facts, list[str]], str]
CODE = Path(celery.__file__).parent
EACH = 25  # questions of a category


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _ticked(items: list[str]) -> list[str]:
    return [f"`{item}`" for item in items]


def _bullets(items: list[str], form: str = "- `{}`") -> str:
    return "\n".join(form.format(item) for item in items)


RIGHT: dict[str, list[Answer]] = {
    "subclasses": [
        lambda q, n: f"The classes that inherit from `{q['name']}` are {_and(_ticked(n))}.",
        lambda q, n: f"{len(n)} classes inherit from `{q['name']}`:\n\n{_bullets(n)}",
        lambda q, n: (
            f"The direct subclasses of {q['name']} are:\n\n{_bullets(n, '- **{}** (in `app/base.py`, line 12)')}"
        ),
        lambda q, n: f"Here they are:\n{_bullets(n, '1. `{}`: defined in `worker/state.py`')}",
        lambda q, n: f"{_and(_ticked(n))}. They are found with a search for `class .*{q['name']}`.",
        lambda q, n: "\n".join(n),
        lambda q, n: (
            f"{_and(n)} extend{'s' if len(n) == 1 else ''} {q['name']}, which is itself derived from `object`."
        ),
        lambda q, n: f"| Class | File |\n|---|---|\n{_bullets(n, '| `{}` | `app/base.py` |')}",
        lambda q, n: f"I found {len(n)} that have {q['name']} as a base class: {_and(n)}. No other class extends it.",
    ],
    "importers": [
        lambda q, n: f"`{q['module']}` is imported in {_and(_ticked(n))}.",
        lambda q, n: f"The following files import `{q['module']}`:\n\n{_bullets(n)}",
        lambda q, n: f"{_and(n)} import {q['module']}.",
        lambda q, n: f"{len(n)} files import it: {_and(['celery/' + item for item in n])}.",
        lambda q, n: f"It is imported in:\n{_bullets(n, '- `{}` (line 4)')}",
    ],
    "parameters": [
        lambda q, n: f"The function `{q['name']}` takes the parameters {_and(_ticked(n))}.",
        lambda q, n: f"`{q['name']}(self, {', '.join(n)})`",
        lambda q, n: (
            f"```python\ndef {q['name']}(\n    self,\n    {', '.join(f'{item}: str = None' for item in n)},\n) -> None:\n```"
        ),
        lambda q, n: f"It accepts {len(n)} arguments: {_and(_ticked(n))}. It is defined in `app/base.py` on line 5.",
        lambda q, n: f"The parameters of `{q['name']}` are:\n\n{_bullets(n, '- `{}`: what it works on')}",
        lambda q, n: f"{q['name']} takes {_and(n)}.",
    ],
    "decorators": [
        lambda q, n: f"`{q['name']}` is decorated with {_and([f'`@{item}`' for item in n])}.",
        lambda q, n: f"{q['name']} has the decorators {_and(n)}.",
        lambda q, n: f"It has {'one decorator' if len(n) == 1 else 'these decorators'}:\n\n{_bullets(n, '- `@{}`')}",
        lambda q, n: _and([f"@{item}" for item in n]),
        lambda q, n: f"The function `{q['name']}` in `app/base.py` has {_and([f'`@{item}`' for item in n])} above it.",
    ],
    "contents": [
        lambda q, n: f"`{q['path']}` defines {_and(_ticked(n))}.",
        lambda q, n: f"The file `{q['path']}` defines the following at the top level:\n\n{_bullets(n)}",
        lambda q, n: f"It defines:\n{_bullets(n, '- **{}** (line 10): does its work')}",
        lambda q, n: f"{q['path']} defines {_and(n)}.",
        lambda q, n: (
            f"Top-level definitions in `{q['path']}`:\n{_bullets(n, '1. `{}`')}\n\nThere are {len(n)} in total."
        ),
    ],
    "folder_files": [
        lambda q, n: f"The directory `{q['folder']}` holds {_and(_ticked([i.rpartition('/')[2] for i in n]))}.",
        lambda q, n: _bullets(n, "- {}"),
        lambda q, n: (
            f"There are {len(n)} Python files in {q['folder']}:\n\n{_bullets([i.rpartition('/')[2] for i in n])}"
        ),
        lambda q, n: _and(n),
    ],
    "where_defined": [
        lambda q, n: f"The {q['kind']} `{q['name']}` is defined in `{n[0]}`.",
        lambda q, n: f"`{q['name']}` is defined in `celery/{n[0]}`, at line 34.",
        lambda q, n: f"It is in {n[0]}.",
        lambda q, n: f"{n[0]}:34",
        lambda q, n: f"**{q['name']}** is located in **{n[0]}** (line 34). It is used by `app/zzz.py`.",
        lambda q, n: f"`{n[0]}` defines `{q['name']}`.",
        lambda q, n: f"The definition of {q['name']} is in the file ./{n[0]}, not in tests.py.",
        lambda q, n: f"The file that defines the {q['kind']} `{q['name']}` is `{n[0]}`.",
    ],
    "find_file": [
        lambda q, n: f"The file `{q['file']}` is at `{n[0]}`.",
        lambda q, n: f"`{q['file']}` is in the directory `{n[0].rpartition('/')[0]}`.",
        lambda q, n: f"celery/{n[0]}",
        lambda q, n: f"The path of the file {q['file']} is {n[0]}.",
        lambda q, n: f"It is located in {n[0].rpartition('/')[0]}/.",
    ],
    "both_defined": [
        lambda q, n: f"`{q['name']}` is defined in `{n[0]}` and `{q['other']}` is defined in `{n[1]}`.",
        lambda q, n: f"- **{q['name']}**: `{n[0]}` (line 3)\n- **{q['other']}**: `{n[1]}` (line 40)",
        lambda q, n: f"{q['other']} is in {n[1]}, while {q['name']} is in {n[0]}.",
        lambda q, n: f"{q['name']} and {q['other']} are defined in {n[0]} and {n[1]}, respectively.",
        lambda q, n: f"`{n[0]}` defines `{q['name']}`, and `{n[1]}` defines `{q['other']}`.",
    ],
    "count_files": [
        lambda q, n: f"There are {n[0]} Python files under `{q['folder']}`.",
        lambda q, n: f"The directory `{q['folder']}` contains **{n[0]}** `.py` files, including its subdirectories.",
        lambda q, n: n[0],
        lambda q, n: f"{n[0]} Python files.",
        lambda q, n: f"I counted {n[0]} Python files in {q['folder']} and its subdirectories.",
    ],
    "count_matches": [
        lambda q, n: f"{n[0]} lines of {q['path']} contain {q['name']}.",
        lambda q, n: f"`{q['name']}` occurs on {n[0]} lines of `{q['path']}`.",
        lambda q, n: f"There are **{n[0]}** lines in `{q['path']}` that mention `{q['name']}`.",
        lambda q, n: f"The name `{q['name']}` appears {n[0]} times in `{q['path']}`.",
        lambda q, n: f"{n[0]} lines.",
    ],
    "constant": [
        lambda q, n: f"The constant `{q['name']}` is set to `{n[0]}`.",
        lambda q, n: f"`{q['name']} = {n[0]}`",
        lambda q, n: f"{q['name']} has the value {n[0]}, defined in `app/base.py` at line 3.",
        lambda q, n: f"It is {n[0]}.",
        lambda q, n: f"The value of the constant `{q['name']}` is **{n[0]}**.",
    ],
    "docstring": [
        lambda q, n: f"The function {q['name']} is described as: {n[0]}.",
        lambda q, n: f'The docstring of `{q["name"]}` says: "{n[0]}."',
        lambda q, n: n[0],
    ],
}
WRONG: dict[str, list[Answer]] = {
    "subclasses": [
        lambda q, n: f"The classes that inherit from {q['name']} are {_and([*n, 'ShadowBase'])}.",
        lambda q, n: f"{_bullets([*n, 'ShadowBase'])}",
        lambda q, n: f"The classes that inherit from {q['name']} are {q['name']}.",
        lambda q, n: f"{_and(n)} do not inherit from {q['name']}.",
        lambda q, n: f"The classes that inherit from {n[0]} are {_and(n)}.",
        lambda q, n: f"{q['name']} inherits from {_and(n)}.",
        lambda q, n: _bullets(n, "app/base.py:12: class {}(" + q["name"] + "):"),
        lambda q, n: f"No classes inherit from {q['name']}.",
        lambda q, n: f"The classes are {_and([item + 's' for item in n])}.",
    ],
    "importers": [
        lambda q, n: f"{q['module']} is imported in {_and([*n, 'app/shadow.py'])}.",
        lambda q, n: f"{q['module']} is imported in {_and([i.rpartition('/')[2] + 'x' for i in n])}.",
        lambda q, n: f"No file imports {q['module']}; {_and(n)} do not.",
        lambda q, n: f"shadow_module is imported in {_and(n)}.",
        lambda q, n: "no matches in 161 files.",
    ],
    "parameters": [
        lambda q, n: f"{q['name']} takes the parameters {_and([*n, 'shadow'])}.",
        lambda q, n: f"`{q['name']}(self, {', '.join([*n, 'shadow'])})`",
        lambda q, n: f"{q['name']} takes no parameters.",
        lambda q, n: f"shadow_function takes the parameters {_and(n)}.",
        lambda q, n: f"The function {q['name']} is defined in core.py.",
        lambda q, n: f"app/base.py:3: def {q['name']}({', '.join(n)}):",
    ],
    "decorators": [
        lambda q, n: f"{q['name']} has the decorators {_and([*n, 'shadow.task'])}.",
        lambda q, n: f"{q['name']} has no decorators.",
        lambda q, n: f"{q['name']} is not decorated with {_and(n)}.",
        lambda q, n: f"shadow_function has the decorators {_and(n)}.",
    ],
    "contents": [
        lambda q, n: f"{q['path']} defines {_and([*n, 'ShadowBase'])}.",
        lambda q, n: _bullets([*n, "ShadowBase"]),
        lambda q, n: f"{q['path']} does not define {_and(n)}.",
        lambda q, n: f"{q['path']} defines classes and functions.",
    ],
    "folder_files": [
        lambda q, n: f"The directory {q['folder']} holds {_and([*[i.rpartition('/')[2] for i in n], 'shadow.py'])}.",
        lambda q, n: f"The directory {q['folder']} holds {len(n)} files.",
    ],
    "where_defined": [
        lambda q, n: f"The {q['kind']} {q['name']} is defined in {n[0]} and in app/shadow.py.",
        lambda q, n: f"The {q['kind']} {q['name']} is not defined in {n[0]}.",
        lambda q, n: f"The {q['kind']} shadow_{q['name']} is defined in {n[0]}.",
        lambda q, n: f"The {q['kind']} {q['name']} is defined in x{n[0]}.",
        lambda q, n: f"The {q['kind']} {q['name']} is defined in shadow/{n[0]}.",
        lambda q, n: f"{n[0]}:34: class {q['name']}:",
    ],
    "find_file": [
        lambda q, n: f"The file {q['file']} is in shadow.",
        lambda q, n: f"The file {q['file']} is found.",
        lambda q, n: f"The file {q['file']} is not in {n[0].rpartition('/')[0]}.",
        lambda q, n: f"The file is at shadow/{q['file']}.",
    ],
    "both_defined": [
        lambda q, n: f"{q['name']} is defined in {n[1]} and {q['other']} is defined in {n[0]}.",
        lambda q, n: f"{q['name']} is defined in {n[0]}.",
        lambda q, n: f"Both are defined in {n[0]} and {n[1]}.",
        lambda q, n: f"{q['name']} is defined in {n[0]} and {q['other']} is defined in app/shadow.py.",
    ],
    "count_files": [
        lambda q, n: f"There are {int(n[0]) + 1} Python files under {q['folder']}.",
        lambda q, n: f"There are {n[0]} lines under {q['folder']}.",
        lambda q, n: f"There are {n[0]} or {int(n[0]) + 1} Python files under {q['folder']}.",
        lambda q, n: f"There are not {n[0]} Python files under {q['folder']}.",
        lambda q, n: f"{n[0]} Python files are views.",
    ],
    "count_matches": [
        lambda q, n: f"{int(n[0]) + 2} lines of {q['path']} contain {q['name']}.",
        lambda q, n: f"{n[0]} files contain {q['name']}.",
        lambda q, n: f"{q['name']} is on line {n[0]} of {q['path']}.",
        lambda q, n: f"There are {n[0]} lines of {q['path']} that contain extra inputs.",
        lambda q, n: f"{n[0]} lines of shadow/other.py contain {q['name']}.",
    ],
    "constant": [
        lambda q, n: f"The constant {q['name']} is {q['name']}.",
        lambda q, n: f"The constant SHADOW_{q['name']} is {n[0]}.",
        lambda q, n: f"The constant {q['name']} is not {n[0]}.",
        lambda q, n: f"The constant {q['name']} is {n[0]}7.",
        lambda q, n: f"The constant {q['name']} is defined in app/base.py.",
    ],
    "docstring": [
        lambda q, n: f"The function {q['name']} is defined in app/base.py.",
        lambda q, n: "no matches in 161 files.",
        lambda q, n: f"{q['name']} takes the zebra.",
    ],
}


def _facts(expect: JsonObject) -> list[str]:
    for key in ("names", "parameters", "paths"):
        if isinstance(found := expect.get(key), list):
            return [str(item) for item in found]
    if isinstance(pairs := expect.get("pairs"), dict):
        return [str(path) for path in pairs.values()]
    return [str(expect[key]) for key in ("file", "number", "value", "sentence") if key in expect]


@pytest.fixture(scope="module")
def mined() -> dict[str, list[MinedQuestion]]:
    code = read(CODE)
    found = {category: candidates(code, category) for category in RIGHT}
    # as the miner does: a question that repeats its answer is not asked
    return {
        key: [each for each in list_ if not holds(each.expect, render(each.question))] for key, list_ in found.items()
    }


def _graded(
    mined: dict[str, list[MinedQuestion]], category: str, styles: list[Answer]
) -> Iterator[tuple[bool | None, str, tuple[str, ...]]]:
    found = mined[category]
    for candidate in found[:: max(1, len(found) // EACH)]:
        slots = dict(candidate.question.slots)
        question = render(Question(category, slots))
        for style in styles:
            answer = style if isinstance(style, str) else style(slots, _facts(candidate.expect))
            result = grade(candidate.expect, answer, question=question)
            yield result.correct, f"{question} {candidate.expect} {answer!r}", result.faults


@pytest.mark.parametrize("category", RIGHT)
def test_right_answers_pass_in_every_style(mined: dict[str, list[MinedQuestion]], category: str) -> None:
    graded = list(_graded(mined, category, RIGHT[category]))
    assert [(text, faults) for correct, text, faults in graded if correct is not True] == []


@pytest.mark.parametrize("category", WRONG)
def test_wrong_answers_fail_in_every_style(mined: dict[str, list[MinedQuestion]], category: str) -> None:
    graded = list(_graded(mined, category, WRONG[category]))
    assert [text for correct, text, _ in graded if correct is not False] == []
