"""Questions about files and directories: what they import, define, hold, and where they are."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from config.questions.wording import Question, needle
from producer.mining.mined_question import MinedQuestion, contains, few, hits
from producer.mining.python_code import Code, FunctionNode, Source

MOST_COUNTED: Final = 60
MOST_ENTRIES: Final = 40  # of a directory that is listed; the tool shows no more
SHORTEST_WORD: Final = 4  # letters of a name whose lines are counted
MOST_COUNTED_NAMES: Final = 20  # of one file; every other category asks less about one


def importers(code: Code) -> Iterator[MinedQuestion]:
    """Files that import a module."""
    files: dict[str, set[str]] = {}
    for source in code.sources:
        for module in sorted(_imported(source)):  # a set's order differs from one process to the next
            files.setdefault(module, set()).add(source.path)
    for module, found in files.items():
        question = Question("importers", {"module": module})
        if few(found) and found == {hit.path for hit in hits(question, code.importing)}:
            yield MinedQuestion(question, contains(found))


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


def contents(code: Code) -> Iterator[MinedQuestion]:
    """What a file defines at its top level."""
    for source in code.sources:
        question = Question("contents", {"path": source.path})
        nodes = [
            node for node in (source.tree.body if source.tree else ()) if isinstance(node, ast.ClassDef | FunctionNode)
        ]
        pattern = re.compile(needle(question))
        lines = [number for number, text in enumerate(source.lines, 1) if pattern.search(text)]
        if few(nodes) and lines == [node.lineno for node in nodes] and len({node.name for node in nodes}) == len(nodes):
            yield MinedQuestion(question, contains(node.name for node in nodes))


def count_files(code: Code) -> Iterator[MinedQuestion]:
    """How many Python files a directory holds."""
    held = Counter(parent for source in code.sources for parent in _parents(source.path))
    for folder, number in held.items():
        if number <= MOST_COUNTED:
            yield MinedQuestion(Question("count_files", {"folder": folder}), {"number": number})


def count_matches(code: Code) -> Iterator[MinedQuestion]:
    """How many lines of a file hold a name."""
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
                yield MinedQuestion(Question("count_matches", {"path": source.path, "name": name}), {"number": lines})


def _named(source: Source) -> set[str]:
    """What a file defines or imports, under the name it uses."""
    names: set[str] = set()
    for node in source.statements:
        if isinstance(node, ast.ClassDef | FunctionNode):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def folder_files(code: Code) -> Iterator[MinedQuestion]:
    """Which Python files are directly in a directory."""
    for folder in {parent: None for source in code.sources for parent in _parents(source.path)}:
        files = [source.file for source in code.sources if source.folder == folder]
        if few(files) and code.entries[folder] <= MOST_ENTRIES:
            yield MinedQuestion(Question("folder_files", {"folder": folder}), contains(files))


def find_file(code: Code) -> Iterator[MinedQuestion]:
    """Where the only file of a name is."""
    named = Counter(source.file for source in code.sources)
    for source in code.sources:
        if source.folder and named[source.file] == 1:
            yield MinedQuestion(Question("find_file", {"file": source.file}), contains([source.path]))


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
