"""Parse a workspace's Python code with `ast`, and index the lines that a text search would find."""

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

SNIFFED_BYTES: Final = 8192  # a NUL in these means a binary file, which the tools do not search

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS: Final = ("cases", "finalbody", "orelse", "handlers", "body")  # fields of a statement that contain statements
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
    """One Python file. `tree` is None if the file is not valid Python; `lines` is empty if it is not text."""

    path: str
    lines: tuple[str, ...]
    tree: ast.Module | None

    @cached_property
    def statements(self) -> tuple[ast.AST, ...]:
        """Every statement at any depth. Expressions contain no definitions or imports, and are not traversed."""
        pending: list[ast.AST] = [self.tree] if self.tree else []
        found: list[ast.AST] = []
        while pending:
            node = pending.pop()
            found.append(node)
            pending += [child for block in BLOCKS for child in reversed(getattr(node, block, ()))]
        return tuple(found)

    @property
    def folder(self) -> str:
        """Directory of the file; "" at the top of the workspace."""
        return self.path.rpartition("/")[0]

    @property
    def file(self) -> str:
        """File name without the directory."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Index:
    """A set of code lines, indexed by the words they contain."""

    lines: tuple[Line, ...]

    @cached_property
    def by_word(self) -> dict[str, list[Line]]:
        """Lines that contain each word."""
        lines_by_word: dict[str, list[Line]] = {}
        for line in self.lines:
            for word in dict.fromkeys(WORD.findall(line.text)):
                lines_by_word.setdefault(word, []).append(line)
        return lines_by_word


@dataclass(frozen=True, eq=False)
class Definition:
    """A class or function, at any depth."""

    kind: Literal["class", "function"]
    name: str
    source: Source
    node: ast.ClassDef | FunctionNode

    @property
    def line(self) -> int:
        """Line of the `class` or `def` keyword, below the decorators."""
        return self.node.lineno


@dataclass(frozen=True)
class Code:
    """The Python files of one workspace, in the order of their paths."""

    workspace: Path
    sources: tuple[Source, ...]
    entries: Mapping[str, int]
    """number of files and directories in each directory, of any kind"""

    @property
    def root(self) -> str:
        """Name of the workspace's directory, with which people may begin a path."""
        return self.workspace.resolve().name

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """Every class and function at any depth."""
        return tuple(definition for source in self.sources for definition in _definitions(source))

    @cached_property
    def by_name(self) -> dict[str, list[Definition]]:
        """Definitions by name."""
        by_name: dict[str, list[Definition]] = {}
        for definition in self.definitions:
            by_name.setdefault(definition.name, []).append(definition)
        return by_name

    @cached_property
    def defining(self) -> Index:
        """Lines that look like a class or function, also in strings and comments: a text search matches those too."""
        return self._index(DEFINES)

    @cached_property
    def importing(self) -> Index:
        """Lines that look like an import."""
        return self._index(IMPORTS)

    @cached_property
    def assigning(self) -> Index:
        """Lines that look like a top-level assignment."""
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
    """Read the Python code of a workspace. Files that cannot be read or parsed still count as files."""
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
        warnings.simplefilter("ignore")  # invalid escapes in the user's code are not applejack's to report
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
