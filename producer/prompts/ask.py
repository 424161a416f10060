"""Which questions a code base can be asked, each with the facts of its answer.

The facts come from `ast`. A question is asked only when a plain search for `needle(question)` finds lines that give the
same answer, so that reading tools can find it; its target is unique and its answer names few things.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Final

from config.questions import Question, fits, needle
from config.records import JsonObject
from producer.prompts.code import Code, Definition, FunctionNode, Index, Line, Source

MOST_NAMES: Final = 8  # that one answer lists; small students lose count beyond
MOST_COUNTED: Final = 60
MOST_WIDTH: Final = 160  # characters of a line that an answer needs; longer ones are cut by the tools
MOST_ENTRIES: Final = 40  # of a directory that is listed; the tool shows no more
SHORTEST_WORD: Final = 4  # letters of a name whose lines are counted
MOST_COUNTED_NAMES: Final = 20  # of one file; every other category asks less about one
HEADER_LINES: Final = 10  # a function's header ends within these; the teacher reads 12
MOST_DECORATORS: Final = 3  # the teacher reads 4 lines above the function
SENTENCE: Final = re.compile(r"[A-Z][\w ,;:'()/-]{8,88}\.?", re.ASCII)
TEXT_VALUE: Final = re.compile(r"\w(?:[\w ./:-]{0,38}\w)?", re.ASCII)


@dataclass(frozen=True)
class Candidate:
    """A question and the facts of its answer."""

    question: Question
    expect: JsonObject


def candidates(code: Code, category: str) -> list[Candidate]:
    """Every question of a category that the code answers, in a fixed order."""
    asked = ASK[category](code)
    return [candidate for candidate in asked if fits(candidate.question)]


def _subclasses(code: Code) -> Iterator[Candidate]:
    children: dict[str, set[Definition]] = {}
    for definition in code.definitions:
        if isinstance(definition.node, ast.ClassDef):
            for base in definition.node.bases:
                children.setdefault(_dotted(base).rpartition(".")[2], set()).add(definition)
    for name, found in children.items():
        question = Question("subclasses", {"name": name})
        if name and _few(found) and len({child.name for child in found}) == len(found):
            hits = {(hit.path, hit.number) for hit in _hits(question, code.defining)}
            if hits == {(child.source.path, child.line) for child in found}:
                yield Candidate(question, _contains(child.name for child in found))


def _importers(code: Code) -> Iterator[Candidate]:
    files: dict[str, set[str]] = {}
    for source in code.sources:
        for module in _imported(source):
            files.setdefault(module, set()).add(source.path)
    for module, found in files.items():
        question = Question("importers", {"module": module})
        if _few(found) and found == {hit.path for hit in _hits(question, code.importing)}:
            yield Candidate(question, _contains(found))


def _imported(source: Source) -> set[str]:
    """Modules that a file imports, with their parents, and what might be a module in `from x import y`."""
    names: set[str] = set()
    for node in source.statements:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {".".join(parts[:end]) for name in names for parts in [name.split(".")] for end in range(1, len(parts) + 1)}


def _parameters(code: Code) -> Iterator[Candidate]:
    for function, node in _unique_functions(code, "parameters"):
        arguments = node.args
        plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        names = [argument.arg for argument in (*plain, *starred) if argument.arg not in ("self", "cls")]
        if _few(names) and _header_end(node) - node.lineno < HEADER_LINES:
            yield Candidate(Question("parameters", {"name": function.name}), _contains(names))


def _decorators(code: Code) -> Iterator[Candidate]:
    for function, node in _unique_functions(code, "decorators"):
        lines = [decorator.lineno for decorator in node.decorator_list]
        above = list(range(node.lineno - len(lines), node.lineno))
        names = [_dotted(decorator) for decorator in node.decorator_list]
        one_each = all(decorator.lineno == decorator.end_lineno for decorator in node.decorator_list)
        if names and all(names) and len(names) <= MOST_DECORATORS and one_each and lines == above:
            yield Candidate(Question("decorators", {"name": function.name}), _contains(names))


def _docstring(code: Code) -> Iterator[Candidate]:
    for function, node in _unique_functions(code, "docstring"):
        first = (ast.get_docstring(node) or "").partition("\n")[0].strip()
        below = function.source.lines[node.lineno] if node.lineno < len(function.source.lines) else ""
        opened = re.match(r'\s*[rR]?"""(.*)', below)
        if opened and SENTENCE.fullmatch(first) and first in opened[1]:
            yield Candidate(Question("docstring", {"name": function.name}), _contains([first.removesuffix(".")]))


def _where_defined(code: Code) -> Iterator[Candidate]:
    for name, found in code.by_name.items():
        question = Question("where_defined", {"kind": found[0].kind, "name": name})
        if len(found) == 1 and not name.startswith("__") and len(_hits(question, code.defining)) == 1:
            yield Candidate(question, _contains([found[0].source.path]))


def _both_defined(code: Code) -> Iterator[Candidate]:
    unique = [
        (name, found[0]) for name, found in code.by_name.items() if len(found) == 1 and found[0].node.col_offset == 0
    ]
    for (name, one), (other, two) in zip(unique[::2], reversed(unique[1::2]), strict=False):
        halves = [Question("both_defined", {"name": half, "other": half}) for half in (name, other)]
        if one.source.path != two.source.path and all(len(_hits(half, code.defining)) == 1 for half in halves):
            yield Candidate(
                Question("both_defined", {"name": name, "other": other}), _contains([one.source.path, two.source.path])
            )


def _contents(code: Code) -> Iterator[Candidate]:
    for source in code.sources:
        question = Question("contents", {"path": source.path})
        nodes = [
            node for node in (source.tree.body if source.tree else ()) if isinstance(node, ast.ClassDef | FunctionNode)
        ]
        pattern = re.compile(needle(question))
        lines = [number for number, text in enumerate(source.lines, 1) if pattern.search(text)]
        if (
            _few(nodes)
            and lines == [node.lineno for node in nodes]
            and len({node.name for node in nodes}) == len(nodes)
        ):
            yield Candidate(question, _contains(node.name for node in nodes))


def _count_files(code: Code) -> Iterator[Candidate]:
    held = Counter(parent for source in code.sources for parent in _parents(source.path))
    for folder, number in held.items():
        if number <= MOST_COUNTED:
            yield Candidate(Question("count_files", {"folder": folder}), {"number": number})


def _count_matches(code: Code) -> Iterator[Candidate]:
    for source in code.sources:
        text = "\n".join(source.lines)
        folded = text.lower()
        occurs = Counter(re.findall(r"\w+", text))
        often = [
            name for name in sorted(_named(source)) if len(name) >= SHORTEST_WORD and 2 <= occurs[name] <= MOST_COUNTED
        ]
        for name in often[:MOST_COUNTED_NAMES]:
            lines = sum(name in line for line in source.lines)
            # the same number in any way of counting: words, pieces of text, lines, in one case or any
            if occurs[name] == text.count(name) == folded.count(name.lower()) == lines:
                yield Candidate(Question("count_matches", {"path": source.path, "name": name}), {"number": lines})


def _named(source: Source) -> set[str]:
    """What a file defines or imports, under the name it uses."""
    names: set[str] = set()
    for node in source.statements:
        if isinstance(node, ast.ClassDef | FunctionNode):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def _folder_files(code: Code) -> Iterator[Candidate]:
    for folder in {parent: None for source in code.sources for parent in _parents(source.path)}:
        files = [source.file for source in code.sources if source.folder == folder]
        if _few(files) and code.entries[folder] <= MOST_ENTRIES:
            yield Candidate(Question("folder_files", {"folder": folder}), _contains(files))


def _find_file(code: Code) -> Iterator[Candidate]:
    named = Counter(source.file for source in code.sources)
    for source in code.sources:
        if source.folder and named[source.file] == 1:
            yield Candidate(Question("find_file", {"file": source.file}), _contains([source.path]))


def _constant(code: Code) -> Iterator[Candidate]:
    assigned = Counter(line.text.partition(" = ")[0] for line in code.assigning.lines)
    for source in code.sources:
        for node in source.tree.body if source.tree else ():
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and len(node.targets) == 1:
                target, expect = node.targets[0], _value(node.value, source)
                if isinstance(target, ast.Name) and target.id.isupper() and assigned[target.id] == 1 and expect:
                    yield Candidate(Question("constant", {"name": target.id}), expect)


def _value(node: ast.Constant, source: Source) -> JsonObject | None:
    written = source.lines[node.lineno - 1][node.col_offset : node.end_col_offset]
    if type(node.value) is int and written == str(node.value):
        return {"number": node.value}
    if isinstance(node.value, bool | float) and written == str(node.value):
        return _contains([written])
    if isinstance(node.value, str) and written[1:-1] == node.value and TEXT_VALUE.fullmatch(node.value):
        return _contains([node.value])
    return None


def _unique_functions(code: Code, category: str) -> Iterator[tuple[Definition, FunctionNode]]:
    """Functions whose name is defined once, and found once by the category's search."""
    for name, found in code.by_name.items():
        node = found[0].node
        if len(found) == 1 and isinstance(node, FunctionNode) and not name.startswith("__"):
            hits = _hits(Question(category, {"name": name}), code.defining)
            if [hit.number for hit in hits] == [node.lineno] and len(hits[0].text) <= MOST_WIDTH:
                yield found[0], node


def _hits(question: Question, index: Index) -> list[Line]:
    """The lines that a search finds; every needle holds its name, or the first part of its module, as a word."""
    word = question.slots.get("name") or question.slots["module"].partition(".")[0]
    pattern = re.compile(needle(question))
    return [line for line in index.by_word.get(word, ()) if pattern.search(line.text)]


def _header_end(node: FunctionNode) -> int:
    return node.body[0].lineno


def _dotted(node: ast.expr) -> str:
    """The dotted name of an expression, of what is called or subscribed in it; "" when it has none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    return _dotted(node.value) if isinstance(node, ast.Subscript) else ""


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _few(items: Sized) -> bool:
    return 1 <= len(items) <= MOST_NAMES


def _contains(names: Iterable[str]) -> JsonObject:
    return {"contains": [*sorted(names)]}


ASK: Final[Mapping[str, Callable[[Code], Iterator[Candidate]]]] = {
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
