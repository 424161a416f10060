"""Generate questions about a code base, each with the facts of its answer.

The facts come from `ast`. A question is generated only if a plain text search for `needle(question)` leads to the same
answer, so that an agent can find it with search and read tools. The target is unique and the answer is short.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeGuard

from config.questions import typed_expectations as expect
from config.questions.wording import MISSING, Question, fits
from producer.mining.file_questions import contents, count_files, count_matches, find_file, folder_files, importers
from producer.mining.mined_question import MinedQuestion, few, hits
from producer.mining.missing import missing
from producer.mining.python_code import Code, Definition, FunctionNode, Source

MOST_WIDTH: Final = 160  # characters of a line that holds an answer; the tools cut longer lines
HEADER_LINES: Final = 10  # lines of a function header; the scripted teacher reads 12
MOST_DECORATORS: Final = 3  # the scripted teacher reads 4 lines above the function
SENTENCE: Final = re.compile(r"[A-Z][\w ,;:'()/-]{8,88}\.?", re.ASCII)
TEXT_VALUE: Final = re.compile(r"\w(?:[\w ./:-]{0,38}\w)?", re.ASCII)


def candidates(code: Code, category: str) -> list[MinedQuestion]:
    """Every question of the category that the code can answer, in a fixed order."""
    return [candidate for candidate in GENERATORS[category](code) if fits(candidate.question)]


def _subclasses(code: Code) -> Iterator[MinedQuestion]:
    children: dict[str, set[Definition]] = {}
    for definition in code.definitions:
        if isinstance(definition.node, ast.ClassDef):
            for base in definition.node.bases:
                children.setdefault(_dotted(base).rpartition(".")[2], set()).add(definition)
    for name, found in children.items():
        question = Question("subclasses", {"name": name})
        if name and few(found) and len({child.name for child in found}) == len(found):
            lines = {(hit.path, hit.number) for hit in hits(question, code.defining)}
            if lines == {(child.source.path, child.line) for child in found}:
                yield MinedQuestion(question, expect.names("subclass", sorted(child.name for child in found), name))


def _parameters(code: Code) -> Iterator[MinedQuestion]:
    for function, node in _unique_functions(code, "parameters"):
        arguments = node.args
        plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        names = [argument.arg for argument in (*plain, *starred) if argument.arg not in ("self", "cls")]
        if few(names) and _header_end(node) - node.lineno < HEADER_LINES:
            expected = expect.names("parameter", names, function.name)
            yield MinedQuestion(Question("parameters", {"name": function.name}), expected)


def _decorators(code: Code) -> Iterator[MinedQuestion]:
    for function, node in _unique_functions(code, "decorators"):
        lines = [decorator.lineno for decorator in node.decorator_list]
        above = list(range(node.lineno - len(lines), node.lineno))
        names = [_dotted(decorator) for decorator in node.decorator_list]
        single_lines = all(decorator.lineno == decorator.end_lineno for decorator in node.decorator_list)
        if names and all(names) and len(names) <= MOST_DECORATORS and single_lines and lines == above:
            expected = expect.names("decorator", names, function.name)
            yield MinedQuestion(Question("decorators", {"name": function.name}), expected)


def _docstring(code: Code) -> Iterator[MinedQuestion]:
    for function, node in _unique_functions(code, "docstring"):
        first = (ast.get_docstring(node) or "").partition("\n")[0].strip()
        below = function.source.lines[node.lineno] if node.lineno < len(function.source.lines) else ""
        opened = re.match(r'\s*[rR]?"""(.*)', below)
        if opened and SENTENCE.fullmatch(first) and first in opened[1]:
            expected = expect.sentence(first.removesuffix("."), function.name)
            yield MinedQuestion(Question("docstring", {"name": function.name}), expected)


def _where_defined(code: Code) -> Iterator[MinedQuestion]:
    for name, found in code.by_name.items():
        question = Question("where_defined", {"kind": found[0].kind, "name": name})
        if len(found) == 1 and not name.startswith("__") and len(hits(question, code.defining)) == 1:
            yield MinedQuestion(question, expect.paths([found[0].source.path], name, root=code.root))


def _both_defined(code: Code) -> Iterator[MinedQuestion]:
    unique = [
        (name, found[0]) for name, found in code.by_name.items() if len(found) == 1 and found[0].node.col_offset == 0
    ]
    for (name, definition), (other_name, other) in zip(unique[::2], reversed(unique[1::2]), strict=False):
        searches = [Question("both_defined", {"name": target, "other": target}) for target in (name, other_name)]
        paths = [definition.source.path, other.source.path]
        if paths[0] != paths[1] and all(len(hits(search, code.defining)) == 1 for search in searches):
            expected = expect.pairs({name: paths[0], other_name: paths[1]}, root=code.root)
            yield MinedQuestion(Question("both_defined", {"name": name, "other": other_name}), expected)


def _constant(code: Code) -> Iterator[MinedQuestion]:
    assigned = Counter(line.text.partition(" = ")[0] for line in code.assigning.lines)
    for source in code.sources:
        for node in source.tree.body if source.tree else ():
            if _in_one_line(node) and isinstance(node.value, ast.Constant) and len(node.targets) == 1:
                target, value = node.targets[0], _value(node.value, source)
                if (
                    isinstance(target, ast.Name)
                    and target.id.isupper()
                    and assigned[target.id] == 1
                    and value is not None
                ):
                    expected = expect.value(value, target.id)
                    yield MinedQuestion(Question("constant", {"name": target.id}), expected)


def _in_one_line(node: ast.stmt) -> TypeGuard[ast.Assign]:
    """True for an assignment on a single line, which a text search returns whole."""
    return isinstance(node, ast.Assign) and node.lineno == node.end_lineno


def _value(node: ast.Constant, source: Source) -> int | float | bool | str | None:
    """The value of a constant that is written plainly, so that an answer can repeat it."""
    written = source.lines[node.lineno - 1][node.col_offset : node.end_col_offset]
    if isinstance(node.value, int | float) and written == str(node.value):
        return node.value
    if isinstance(node.value, str) and written[1:-1] == node.value and TEXT_VALUE.fullmatch(node.value):
        return node.value
    return None


def _unique_functions(code: Code, category: str) -> Iterator[tuple[Definition, FunctionNode]]:
    """Functions whose name is defined once and matched once by the category's text search."""
    for name, found in code.by_name.items():
        node = found[0].node
        if len(found) == 1 and isinstance(node, FunctionNode) and not name.startswith("__"):
            lines = hits(Question(category, {"name": name}), code.defining)
            if [line.number for line in lines] == [node.lineno] and len(lines[0].text) <= MOST_WIDTH:
                yield found[0], node


def _header_end(node: FunctionNode) -> int:
    return node.body[0].lineno


def _dotted(node: ast.expr) -> str:
    """Dotted name of an expression, or of the callee or subscripted value in it; "" if there is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    return _dotted(node.value) if isinstance(node, ast.Subscript) else ""


GENERATORS: Final[Mapping[str, Callable[[Code], Iterator[MinedQuestion]]]] = {
    "subclasses": _subclasses,
    "importers": importers,
    "parameters": _parameters,
    "count_files": count_files,
    "count_matches": count_matches,
    "decorators": _decorators,
    "where_defined": _where_defined,
    "contents": contents,
    "docstring": _docstring,
    "both_defined": _both_defined,
    "folder_files": folder_files,
    "find_file": find_file,
    "constant": _constant,
    MISSING: missing,
}
