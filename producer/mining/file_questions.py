"""Generate questions about files and directories: imports, definitions, contents, counts and locations."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from config.questions import typed_expectations as expect
from config.questions.wording import Question, needle
from producer.mining.mined_question import MinedQuestion, few, hits
from producer.mining.python_code import Code, FunctionNode, Source

MOST_COUNTED: Final = 60
MOST_ENTRIES: Final = 40  # directory entries; the list tool shows no more
SHORTEST_WORD: Final = 4  # letters of a counted name
MOST_COUNTED_NAMES: Final = 20  # names counted in a file; every other category has fewer questions per file


def importers(code: Code) -> Iterator[MinedQuestion]:
    """Files that import a module."""
    files: dict[str, set[str]] = {}
    for source in code.sources:
        for module in sorted(_imported(source)):  # the order of a set differs between processes
            files.setdefault(module, set()).add(source.path)
    for module, found in files.items():
        question = Question("importers", {"module": module})
        if few(found) and found == {hit.path for hit in hits(question, code.importing)}:
            yield MinedQuestion(question, expect.paths(sorted(found), module, root=code.root, kind="importer"))


def _imported(source: Source) -> set[str]:
    """Modules that a file imports, with their parent packages. `from x import y` adds `x.y`, which may be a module."""
    names: set[str] = set()
    for node in source.statements:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {".".join(parts[:end]) for name in names for parts in [name.split(".")] for end in range(1, len(parts) + 1)}


def contents(code: Code) -> Iterator[MinedQuestion]:
    """Top-level definitions of a file."""
    for source in code.sources:
        question = Question("contents", {"path": source.path})
        nodes = [
            node for node in (source.tree.body if source.tree else ()) if isinstance(node, ast.ClassDef | FunctionNode)
        ]
        pattern = re.compile(needle(question))
        lines = [number for number, text in enumerate(source.lines, 1) if pattern.search(text)]
        if few(nodes) and lines == [node.lineno for node in nodes] and len({node.name for node in nodes}) == len(nodes):
            yield MinedQuestion(question, expect.names("definition", [node.name for node in nodes], source.path))


def count_files(code: Code) -> Iterator[MinedQuestion]:
    """Number of Python files below a directory."""
    counts = Counter(parent for source in code.sources for parent in _parents(source.path))
    for folder, number in counts.items():
        if number <= MOST_COUNTED:
            yield MinedQuestion(Question("count_files", {"folder": folder}), expect.count(number, "files", [folder]))


def count_matches(code: Code) -> Iterator[MinedQuestion]:
    """Number of lines in a file that contain a name."""
    for source in code.sources:
        text = "\n".join(source.lines)
        folded = text.lower()
        counts = Counter(re.findall(r"\w+", text))
        frequent = [
            name for name in sorted(_named(source)) if len(name) >= SHORTEST_WORD and 2 <= counts[name] <= MOST_COUNTED
        ]
        for name in frequent[:MOST_COUNTED_NAMES]:
            lines = sum(name in line for line in source.lines)
            # Counting words, substrings or lines, case-sensitive or not, must give the same number.
            if counts[name] == text.count(name) == folded.count(name.lower()) == lines:
                expected = expect.count(lines, "lines", [source.path, name])
                yield MinedQuestion(Question("count_matches", {"path": source.path, "name": name}), expected)


def _named(source: Source) -> set[str]:
    """Names that a file defines or imports, as used in the file."""
    names: set[str] = set()
    for node in source.statements:
        if isinstance(node, ast.ClassDef | FunctionNode):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def folder_files(code: Code) -> Iterator[MinedQuestion]:
    """Python files directly in a directory."""
    for folder in {parent: None for source in code.sources for parent in _parents(source.path)}:
        files = [source.path for source in code.sources if source.folder == folder]
        if few(files) and code.entries[folder] <= MOST_ENTRIES:
            yield MinedQuestion(
                Question("folder_files", {"folder": folder}), expect.folder_files(folder, files, root=code.root)
            )


def find_file(code: Code) -> Iterator[MinedQuestion]:
    """Location of a file with a unique name."""
    counts = Counter(source.file for source in code.sources)
    for source in code.sources:
        if source.folder and counts[source.file] == 1:
            yield MinedQuestion(Question("find_file", {"file": source.file}), expect.file(source.path, root=code.root))


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
