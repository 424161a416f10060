"""What a workspace's Python code holds, read with `ast`, and the lines a search would find in it."""

import ast
import codecs
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from producer.mining.workspace_files import read_workspace

SNIFFED_BYTES: Final = 8192  # a NUL this early means binary, which the tools do not search

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS: Final = ("cases", "finalbody", "orelse", "handlers", "body")  # where statements hold statements
DEFINES: Final = re.compile(r"\b(?:class|def) ")
IMPORTS: Final = re.compile(r"^\s*(?:from|import) ")
WORD: Final = re.compile(r"\w+")
ASSIGNS: Final = re.compile(r"^[A-Za-z_]\w* = ")


@dataclass(frozen=True)
class Line:
    """One line of a file, counted from 1."""

    path: str
    number: int
    text: str


@dataclass(frozen=True)
class Source:
    """One Python file; `tree` is None when it is no valid Python, `lines` are empty when it is no text."""

    path: str
    lines: tuple[str, ...]
    tree: ast.Module | None

    @cached_property
    def statements(self) -> tuple[ast.AST, ...]:
        """Every statement at any depth; expressions, which hold no definition and no import, are not entered."""
        waiting: list[ast.AST] = [self.tree] if self.tree else []
        found: list[ast.AST] = []
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting += [child for block in BLOCKS for child in reversed(getattr(node, block, ()))]
        return tuple(found)

    @property
    def folder(self) -> str:
        """Its directory, "" at the top of the workspace."""
        return self.path.rpartition("/")[0]

    @property
    def file(self) -> str:
        """Its name without the directory."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Index:
    """Some lines of the code, and which of them hold a word."""

    lines: tuple[Line, ...]

    @cached_property
    def by_word(self) -> dict[str, list[Line]]:
        """The lines that hold each word."""
        holding: dict[str, list[Line]] = {}
        for line in self.lines:
            for word in dict.fromkeys(WORD.findall(line.text)):
                holding.setdefault(word, []).append(line)
        return holding


@dataclass(frozen=True, eq=False)
class Definition:
    """A class or a function, wherever it stands."""

    kind: Literal["class", "function"]
    name: str
    source: Source
    node: ast.ClassDef | FunctionNode

    @property
    def line(self) -> int:
        """Of `class` or `def`, below the decorators."""
        return self.node.lineno


@dataclass(frozen=True)
class Code:
    """The Python files of one workspace, in the order of their paths."""

    workspace: Path
    sources: tuple[Source, ...]
    entries: Mapping[str, int]
    """how many files and directories each directory holds, of any kind"""

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """Every class and function at any depth."""
        return tuple(found for source in self.sources for found in _definitions(source))

    @cached_property
    def by_name(self) -> dict[str, list[Definition]]:
        """Definitions under each name."""
        named: dict[str, list[Definition]] = {}
        for definition in self.definitions:
            named.setdefault(definition.name, []).append(definition)
        return named

    @cached_property
    def defining(self) -> Index:
        """Lines that look like a class or a function, in strings and comments too: a search finds those as well."""
        return self._index(DEFINES)

    @cached_property
    def importing(self) -> Index:
        """Lines that look like an import."""
        return self._index(IMPORTS)

    @cached_property
    def assigning(self) -> Index:
        """Lines that look like an assignment at the top level."""
        return self._index(ASSIGNS)

    def _index(self, pattern: re.Pattern[str]) -> Index:
        return Index(
            tuple(
                Line(source.path, number, text)
                for source in self.sources
                for number, text in enumerate(source.lines, 1)
                if pattern.search(text)
            )
        )


def read(workspace: Path) -> Code:
    """The Python code of a workspace; files that cannot be parsed or read count as files all the same."""
    files = read_workspace(workspace)
    sources = tuple(_source(path, files.python.get(path)) for path in files.paths if path.endswith(".py"))
    return Code(workspace, sources, _entries(files.paths))


def _entries(paths: tuple[str, ...]) -> dict[str, int]:
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts)):
            children.setdefault("/".join(parts[:end]), set()).add(parts[end])
    return {folder: len(names) for folder, names in children.items()}


def _source(path: str, raw: bytes | None) -> Source:
    if raw is None or b"\0" in raw[:SNIFFED_BYTES]:
        return Source(path, (), None)
    text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    return Source(path, tuple(line.removesuffix("\r") for line in text.split("\n")), _tree(raw))


def _tree(raw: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in somebody else's code are not ours to report
        try:
            return ast.parse(raw)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _definitions(source: Source) -> Iterator[Definition]:
    for node in source.statements:
        if isinstance(node, ast.ClassDef):
            yield Definition("class", node.name, source, node)
        elif isinstance(node, FunctionNode):
            yield Definition("function", node.name, source, node)
