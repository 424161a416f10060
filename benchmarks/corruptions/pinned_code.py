"""A git repository made from an installed package: one pinned commit, and other commits whose results are stale.

Every commit has a fixed author and date, so that the same package gives the same hashes.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.sound import NAMES
from config.git import run_git
from config.questions.wording import TOOL_FORMS, Question
from config.records import JsonObject
from producer.mining.code_questions import candidates
from producer.mining.python_code import Code as Mined
from producer.mining.python_code import read
from worker.tools.toolset import ToolFunction, build
from worker.tools.workspace import Workspace, open_workspace

WHO = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "benchmark"),)}
WHO |= {f"GIT_{who}_EMAIL": "benchmark@example.org" for who in ("AUTHOR", "COMMITTER")}
WHO |= {f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")}
SECONDS = 60.0
Files = dict[str, str]
"""path -> text of every Python file"""


def facts_key(question: Question) -> tuple[str, ...]:
    """A question as a key."""
    return (question.category, *(f"{slot}={value}" for slot, value in sorted(question.slots.items())))


@dataclass(frozen=True, eq=False)
class Version:
    """One commit: its workspace, the tools over it, and the facts that it holds."""

    workspace: Workspace

    @cached_property
    def tools(self) -> Mapping[str, ToolFunction]:
        """The real tools, by name."""
        return build(self.workspace, names=NAMES)

    @cached_property
    def mined(self) -> Mined:
        """The parsed code."""
        return read(self.workspace.root)

    @cached_property
    def facts(self) -> Mapping[tuple[str, ...], JsonObject]:
        """The `expect` of every question that this commit answers."""
        return {facts_key(c.question): c.expect for category in TOOL_FORMS for c in candidates(self.mined, category)}


@dataclass(frozen=True, eq=False)
class Code:
    """The code that trajectories are about, and code that they are not about."""

    pinned: Version
    stale: Mapping[str, Version]
    """other commits of the same repository, by what they change"""
    foreign: Version
    """another project"""

    @cached_property
    def paths(self) -> list[str]:
        """Every Python file of the pinned commit."""
        return [source.path for source in self.pinned.mined.sources]

    @cached_property
    def names(self) -> list[str]:
        """Every class and function of the pinned commit that is not a dunder."""
        return sorted(name for name in self.pinned.mined.by_name if not name.startswith("__") and len(name) > 3)

    @cached_property
    def bases(self) -> Mapping[str, list[str]]:
        """class -> names of its base classes."""
        found: dict[str, list[str]] = {}
        for definition in self.pinned.mined.definitions:
            if isinstance(definition.node, ast.ClassDef):
                found[definition.name] = [ast.unparse(base).rpartition(".")[2] for base in definition.node.bases]
        return found


def make_code(package: Path, foreign: Path, folder: Path) -> Code:
    """Commit both packages below `folder`, and the stale commits of the first."""
    repository, other = folder / "code", folder / "other"
    commits = _commit_all(package, repository, EDITS)
    pinned = commits.pop("")
    others = _commit_all(foreign, other, {})
    opened = {what: _open(repository, commit, folder) for what, commit in commits.items()}
    return Code(_open(repository, pinned, folder), opened, _open(other, others[""], folder))


def _open(repository: Path, commit: str, folder: Path) -> Version:
    return Version(open_workspace(f"{repository}@{commit}", cache=folder / "cache"))


def _commit_all(package: Path, repository: Path, edits: Mapping[str, Callable[[Files], Files]]) -> dict[str, str]:
    """Commit hash of the package as it is, under "", and of each edit of it."""
    files = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(package.rglob("*.py"))
        if "__pycache__" not in path.parts
    }
    repository.mkdir(parents=True)
    _git(repository, "init", "--quiet", "--initial-branch=main")
    commits = {"": _commit(repository, files, "pinned")}
    for what, change in edits.items():
        _git(repository, "checkout", "--quiet", "--detach", commits[""])
        commits[what] = _commit(repository, change(files), what)
    _git(repository, "checkout", "--quiet", "main")
    return commits


def _commit(repository: Path, files: Files, message: str) -> str:
    for old in repository.rglob("*.py"):
        old.unlink()
    for path, text in files.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text, encoding="utf-8")
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message", message)
    return _git(repository, "rev-parse", "HEAD").strip()


def _git(repository: Path, *arguments: str) -> str:
    return run_git(repository, *arguments, timeout=SECONDS, env=WHO).decode()


def _shifted(files: Files) -> Files:
    return {path: f"# Copyright the authors.\n# See the file LICENSE.\n\n{text}" for path, text in files.items()}


def _moved(files: Files) -> Files:
    def place(path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"{folder}/core/{name}" if folder and name != "__init__.py" else path

    return {place(path): text for path, text in files.items()}


def _renamed(files: Files) -> Files:
    defined = {name for text in files.values() for name in re.findall(r"(?m)^\s*(?:class|def) (\w+)", text)}
    constants = {name for text in files.values() for name in re.findall(r"(?m)^([A-Z][A-Z_]{3,}) = ", text)}
    chosen = {name for name in defined if len(name) > 3 and not name.startswith("__")} | constants

    def rename(match: re.Match[str]) -> str:
        name = match.group()
        if name not in chosen:
            return name
        return f"OLD_{name}" if name.isupper() else f"Legacy{name}" if name[0].isupper() else f"legacy_{name}"

    return {path: re.sub(r"\b[A-Za-z_]\w{3,}\b", rename, text) for path, text in files.items()}


def _added(files: Files) -> Files:
    """One more file per directory; in each file, one more subclass per base class and one more mention per name."""
    changed = {}
    for path, text in files.items():
        classes = re.findall(r"(?m)^class (\w+)\((\w+)\)", text)
        names = re.findall(r"(?m)^(?:class|def) (\w+)", text)
        mentions = "".join(f"# {name} is part of the interface.\n" for name in sorted(set(names)))
        variants = "".join(
            f"\n\nclass {name}Variant({base}):\n    pass\n" for base, name in sorted({b: n for n, b in classes}.items())
        )
        changed[path] = f"{text.rstrip()}\n{variants}\n{mentions}"
        changed[f"{path.rpartition('/')[0]}/extra_support.py".lstrip("/")] = '"""More support."""\n\nimport os\n'
    return changed


def _removed(files: Files) -> Files:
    """Without the last file of each directory, and in each file without the last definition."""
    last = {path.rpartition("/")[0]: path for path in sorted(files) if not path.endswith("__init__.py")}
    return {path: _without_last(text) for path, text in files.items() if path not in last.values()}


def _without_last(text: str) -> str:
    nodes = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    if len(nodes) < 2:
        return text
    start = min([nodes[-1].lineno, *(decorator.lineno for decorator in nodes[-1].decorator_list)])
    lines = text.split("\n")
    return "\n".join([*lines[: start - 1], *lines[nodes[-1].end_lineno :]])


EDITS: Mapping[str, Callable[[Files], Files]] = {
    "lines shifted": _shifted,
    "files moved": _moved,
    "symbols renamed": _renamed,
    "matches added": _added,
    "matches removed": _removed,
}


def hits(result: str) -> Iterator[tuple[str, int, str]]:
    """Path, line number and text of every hit of a grep result."""
    for line in result.split("\n"):
        if match := re.match(r"([\w./+-]+):(\d+): (.*)", line):
            yield match[1], int(match[2]), match[3]
