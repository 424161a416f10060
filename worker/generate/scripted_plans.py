"""Plans of the scripted teacher: the tool calls that each mined question needs, and the answer from their results.

A plan is a generator. It yields calls, receives their results in the same order, and returns the answer. It knows
only the question and the tool results, so an empty or failed result leads to an answer that reports it.
"""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from config.questions.wording import Question, needle
from config.records import JsonObject
from worker.tools.snippets import assigned, parameters_of

HEADER_LINES: Final = 10  # read below `def` when its header spans lines
DOC_LINES: Final = 2  # read below `def` for a docstring's first line
DECORATOR_LINES: Final = 4  # read above `def`
ERROR_CHARS: Final = 200  # of a tool's error that an answer repeats


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: JsonObject


@dataclass(frozen=True)
class Result:
    """The result of one call."""

    text: str
    is_error: bool = False


@dataclass(frozen=True)
class Hit:
    """One line that grep found."""

    path: str
    line: int
    text: str


Plan = Generator[tuple[Call, ...], tuple[Result, ...], str]


class _NothingFound(Exception):  # noqa: N818 - an outcome, not an error
    """The results hold no answer. The exception's text is the answer to give."""


def plan(question: Question) -> Plan:
    """The plan for a question about code. Raises KeyError for general knowledge."""
    try:
        return (yield from _PLANS[question.category](question))
    except _NothingFound as nothing:
        return str(nothing)


def run_all(word: str) -> Plan:
    """Fallback for prompts that match no template: search for one word and report the hits."""
    try:
        hits = yield from _grep(word, f"I looked for {word} and found nothing.")
    except _NothingFound as nothing:
        return str(nothing)
    paths = list(dict.fromkeys(hit.path for hit in hits))
    return f"I looked for {word} and found it in {_listed(paths)}; the first line is: {hits[0].text}"


def _grep(
    pattern: str, nothing: str, *, path: str | None = None
) -> Generator[tuple[Call, ...], tuple[Result, ...], list[Hit]]:
    where: JsonObject = {"path": path} if path else {"glob": "*.py"}
    (result,) = yield (Call("grep", {"pattern": pattern, **where}),)
    return _hits(result, nothing)


def _hits(result: Result, nothing: str) -> list[Hit]:
    found = re.findall(r"^(.+?):(\d+): (.*)$", _text(result), re.MULTILINE)
    if not found:
        raise _NothingFound(nothing)
    return [Hit(path, int(line), text) for path, line, text in found]


def _text(result: Result) -> str:
    if result.is_error:
        raise _NothingFound(f"I could not look that up: {result.text[:ERROR_CHARS]}")
    return result.text


def _read(path: str, start: int, end: int) -> Generator[tuple[Call, ...], tuple[Result, ...], list[str]]:
    """Lines `start` to `end` of a file, without their numbers."""
    (result,) = yield (Call("read_file", {"path": path, "start": start, "end": end}),)
    return re.findall(r"^\d+: ?(.*)$", _text(result), re.MULTILINE)


def _subclasses(question: Question) -> Plan:
    name = question.slots["name"]
    hits = yield from _grep(needle(question), f"I found no class that inherits from {name}.")
    return f"The classes that inherit from {name} are {_listed(_defined(hits))}."


def _importers(question: Question) -> Plan:
    module = question.slots["module"]
    hits = yield from _grep(needle(question), f"I found no file that imports {module}.")
    return f"{module} is imported in {_listed(hit.path for hit in hits)}."


def _parameters(question: Question) -> Plan:
    name = question.slots["name"]
    hits = yield from _grep(needle(question), f"I found no function {name}.")
    found = parameters_of([hits[0].text])
    if found is None:
        found = parameters_of((yield from _read(hits[0].path, hits[0].line, hits[0].line + HEADER_LINES)))
    if found is None:
        return f"The function {name} is in {hits[0].path}, but I could not read its parameters."
    return f"{name} takes the parameters {_listed(found)}." if found else f"{name} takes no parameters."


def _decorators(question: Question) -> Plan:
    name = question.slots["name"]
    hits = yield from _grep(needle(question), f"I found no function {name}.")
    line = hits[0].line
    above = (yield from _read(hits[0].path, max(1, line - DECORATOR_LINES), line))[:-1]
    found: list[str] = []
    while above and (decorator := re.match(r"\s*@([\w.]+)", above.pop())):
        found.insert(0, decorator[1])
    return f"{name} has the decorators {_listed(found)}." if found else f"{name} has no decorators."


def _docstring(question: Question) -> Plan:
    name = question.slots["name"]
    hits = yield from _grep(needle(question), f"I found no function {name}.")
    lines = yield from _read(hits[0].path, hits[0].line, hits[0].line + DOC_LINES)
    below = "\n".join(lines[1:])
    opening = re.match(r'\s*[rR]?"""\s*([^\n]*)', below)
    first = opening[1].partition('"""')[0].strip() if opening else ""
    if not first:
        return f"The function {name} is in {hits[0].path} and has no docstring that I could read."
    return f"The function {name} is described as: {first}"


def _where_defined(question: Question) -> Plan:
    kind, name = question.slots["kind"], question.slots["name"]
    hits = yield from _grep(needle(question), f"I found no {kind} {name}.")
    return f"The {kind} {name} is defined in {_listed(hit.path for hit in hits)}."


def _both_defined(question: Question) -> Plan:
    names = (question.slots["name"], question.slots["other"])
    needles = [needle(Question(question.category, {"name": name})) for name in names]
    results = yield tuple(Call("grep", {"pattern": pattern, "glob": "*.py"}) for pattern in needles)
    parts: list[str] = []
    for name, result in zip(names, results, strict=True):
        try:
            parts.append(f"{name} is defined in {_listed(hit.path for hit in _hits(result, ''))}")
        except _NothingFound:
            parts.append(f"I found no definition of {name}")
    return f"{' and '.join(parts)}."


def _contents(question: Question) -> Plan:
    path = question.slots["path"]
    hits = yield from _grep(
        needle(question), f"{path} defines no classes and no functions at the top level.", path=path
    )
    return f"{path} defines {_listed(_defined(hits))}."


def _count_files(question: Question) -> Plan:
    folder = question.slots["folder"]
    (result,) = yield (Call("count", {"path": folder, "glob": "*.py"}),)
    number = _number(result)
    return f"There {'is 1 Python file' if number == 1 else f'are {number} Python files'} under {folder}."


def _count_matches(question: Question) -> Plan:
    path, name = question.slots["path"], question.slots["name"]
    (result,) = yield (Call("count", {"pattern": needle(question), "path": path}),)
    number = _number(result)
    return f"{number} {'line' if number == 1 else 'lines'} of {path} contain{'s' if number == 1 else ''} {name}."


def _number(result: Result) -> int:
    found = re.match(r"\d+", _text(result))
    if not found:
        raise _NothingFound(f"I could not count that: {result.text[:ERROR_CHARS]}")
    return int(found[0])


def _folder_files(question: Question) -> Plan:
    folder = question.slots["folder"]
    (result,) = yield (Call("list_dir", {"path": folder}),)
    files = [name for name in _text(result).splitlines() if name.endswith(".py")]
    return (
        f"The directory {folder} holds {_listed(files)}." if files else f"The directory {folder} holds no Python files."
    )


def _find_file(question: Question) -> Plan:
    file = question.slots["file"]
    (result,) = yield (Call("find_files", {"glob": file}),)
    paths = [path for path in _text(result).splitlines() if path.rpartition("/")[2] == file]
    return f"The file {file} is at {_listed(paths)}." if paths else f"I found no file {file}."


def _constant(question: Question) -> Plan:
    name = question.slots["name"]
    hits = yield from _grep(needle(question), f"I found no constant {name}.")
    return f"The constant {name} is {assigned(hits[0].text)}."


def _defined(hits: list[Hit]) -> list[str]:
    return [found[1] for hit in hits if (found := re.search(r"\b(?:class|def) (\w+)", hit.text))]


def _listed(items: Iterable[str]) -> str:
    names = list(dict.fromkeys(items))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_PLANS: Final[Mapping[str, Callable[[Question], Plan]]] = {
    "subclasses": _subclasses,
    "importers": _importers,
    "parameters": _parameters,
    "count_files": _count_files,
    "count_matches": _count_matches,
    "decorators": _decorators,
    "where_defined": _where_defined,
    "contents": _contents,
    "docstring": _docstring,
    "both_defined": _both_defined,
    "folder_files": _folder_files,
    "find_file": _find_file,
    "constant": _constant,
}
