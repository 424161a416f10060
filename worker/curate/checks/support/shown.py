"""What the results show of the answer to a question: `shown(query, evidence)`."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

from worker.curate.checks.support.asked import Asked
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.results import Line, Result, plain_path
from worker.tools.snippets import assigned, parameters_of

Item = tuple[str, ...]
"""One thing that a full answer states, in all its spellings"""
ANYTHING: Item = ("",)  # stated by every answer: the results show that there is nothing to list
SIMPLE = re.compile(r"-?\d[\d_]*(?:\.\d+)?|True|False|None|[\"']([\w ./:@-]{1,60})[\"']")
HEADER_LINES = 12  # of a function
TOP_LEVEL = re.compile(r"(?:async )?(?:class|def) (\w+)")


def shown(query: Asked, evidence: Evidence) -> list[Item] | None:
    """What the results show of the answer, [] for nothing; None for a category that is not read from lines."""
    reader = READERS.get(query.category)
    return reader(query.question.slots, evidence) if reader else None


def _lines(evidence: Evidence) -> Iterator[Line]:
    return (line for result in evidence.found for line in result.lines)


def _defining(name: str, kind: str = "(?:class|def)") -> re.Pattern[str]:
    return re.compile(rf"\b{kind} {re.escape(name)}\b")


def _where(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    kind = {"class": "class", "function": "def"}.get(slots.get("kind", ""), "(?:class|def)")
    return _homes([_defining(slots["name"], kind)], evidence)


def _both(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    return [item for key in ("name", "other") for item in _homes([_defining(slots[key])], evidence)]


def _homes(patterns: list[re.Pattern[str]], evidence: Evidence) -> list[Item]:
    """The files in which a line matches, as one item: naming any of them is an answer."""
    homes = {line.path: None for line in _lines(evidence) for pattern in patterns if pattern.search(line.text)}
    found = tuple(spelling for path in homes for spelling in spellings(path))
    return [found] if homes else []


def _subclasses(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    return subclasses_of(slots["name"], evidence)


def subclasses_of(name: str, evidence: Evidence) -> list[Item]:
    """The classes that lines show with this base class."""
    base = re.compile(rf"(?<![\w=]){re.escape(name)}\s*(?:[,)\[]|$)")
    children: dict[str, None] = {}
    for line in _lines(evidence):
        header = re.search(r"\bclass (\w+)\s*\((.*)", line.text)
        if header and base.search(re.sub(r"(?<=\w)\[[^\]]*\]", "", header[2].partition("):")[0] + ")")):
            children[header[1]] = None
    return [(child,) for child in children]


def _importers(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    module = slots["module"]
    statement = re.compile(rf"(?:from|import) {re.escape(module)}(?: |$|,)")
    files = {line.path: None for line in _lines(evidence) if statement.match(line.text)}
    return [spellings(path) for path in files if path]


def _parameters(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    """The parameters of the function; of functions with one name, those that all of them have."""
    headers = [[line.text for line in below[:HEADER_LINES]] for below in _functions(slots["name"], evidence)]
    found = [names for header in headers if (names := parameters_of(header)) is not None]
    return [(name,) for name in found[0] if all(name in names for names in found)] or [ANYTHING] if found else []


def _decorators(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    found: dict[str, None] = {}
    for result in evidence.found:
        for place, line in enumerate(result.lines):
            if not _defining(slots["name"], "def").search(line.text):
                continue
            for above, below in zip(result.lines[:place][::-1], result.lines[: place + 1][::-1], strict=False):
                if not _follows(above, below):
                    break
                found[""] = None
                if not above.text.lstrip().startswith("@"):
                    break
                found[above.text.strip()[1:].partition("(")[0].strip()] = None
    return [(name, name.rpartition(".")[2]) for name in found if name] or [ANYTHING for _ in found]


def _follows(line: Line, after: Line) -> bool:
    """Whether a line is the next one of the same file. Lines without numbers are taken as they come."""
    return (line.path, line.number + bool(line.number)) == (after.path, after.number)


def _functions(name: str, evidence: Evidence) -> Iterator[tuple[Line, ...]]:
    """The lines from each definition of the function on."""
    pattern = _defining(name, "def")
    for result in evidence.found:
        for place, line in enumerate(result.lines):
            if pattern.search(line.text):
                following = result.lines[place:]
                yield following[: _run(following)]


def _run(lines: tuple[Line, ...]) -> int:
    """How many lines follow each other in one file."""
    for count, (line, after) in enumerate(pairwise(lines), 1):
        if not _follows(line, after):
            return count
    return len(lines)


def _docstring(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    """The text below the function's header; [] if only its header is shown."""
    texts = [" ".join(line.text for line in below[1:]) for below in _functions(slots["name"], evidence)]
    told = [line.text for line in _lines(evidence) if _mentions_beside(slots["name"], line.text)]
    return [(text,) for text in (*texts, *told) if text.strip()]


def _mentions_beside(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None and not _defining(name).search(text)


def _contents(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    names: dict[str, dict[str, None]] = {}
    for result in evidence.found:
        indented = not result.argument("pattern").lstrip("(").startswith("^")  # grep strips the indent
        for line in result.lines:
            if (top := TOP_LEVEL.match(line.text)) and not (result.argument("pattern") and indented):
                names.setdefault(line.path, {})[top[1]] = None
    return [(name,) for path in _at(slots["path"], names) for name in names[path]]


def _folder_files(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    files: dict[str, dict[str, None]] = {}
    for result in evidence.found:
        for path in _paths_of(result):
            if path.endswith(".py"):
                files.setdefault(path.rpartition("/")[0], {})[path] = None
    return [(path, path.rpartition("/")[2]) for folder in _at(slots["folder"], files) for path in files[folder]]


def _at(asked_path: str, paths: Iterable[str]) -> list[str]:
    """The path that was asked for, or else the paths that end in it."""
    plain, known = plain_path(asked_path), list(paths)
    return [plain] if plain in known else [path for path in known if path and f"/{path}".endswith(f"/{plain}")]


def _find_file(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    homes = [path for path in sorted(evidence.paths) if path.rpartition("/")[2] == slots["file"]]
    found = [spelling for path in homes for spelling in (path, path.rpartition("/")[0]) if spelling]
    return [tuple(found)] if found else []


def _paths_of(result: Result) -> Iterable[str]:
    return result.listed or (line.path for line in result.lines)


def _constant(slots: Mapping[str, str], evidence: Evidence) -> list[Item]:
    form = re.compile(rf"{re.escape(slots['name'])}(?:\s*:[^=]*)?\s*=\s*(?!=)(.+)")
    values: list[str] = []
    for line in _lines(evidence):
        if found := form.search(line.text):
            value = assigned(f"{slots['name']} = {found[1]}".strip())
            simple = SIMPLE.fullmatch(value)
            values += [simple[1] or value] if simple else [""]  # "" is stated by any answer
    return [tuple(values)] if values else []


READERS: Mapping[str, Callable[[Mapping[str, str], Evidence], list[Item]]] = {
    "where_defined": _where,
    "both_defined": _both,
    "subclasses": _subclasses,
    "importers": _importers,
    "parameters": _parameters,
    "decorators": _decorators,
    "docstring": _docstring,
    "contents": _contents,
    "folder_files": _folder_files,
    "find_file": _find_file,
    "constant": _constant,
}


def spellings(path: str) -> Item:
    """A path as answers write it: whole, its end, or as a dotted module."""
    parts = path.split("/")
    ends = ["/".join(parts[place:]) for place in range(len(parts)) if parts[place:] != ["__init__.py"] or not place]
    stems = [end.removesuffix(".py").removesuffix("/__init__") for end in ends if "/" in end]
    return tuple(dict.fromkeys([*ends, *stems, *(stem.replace("/", ".") for stem in stems)]))
