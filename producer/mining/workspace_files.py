"""Reads the files of a workspace as the tools will see them: the git commit if there is one, else the directory."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.errors import UsageError
from config.git import GitError, GitTimeoutError
from config.git_tree import REGULAR, TooLargeError, TreeFile, list_files, read_files
from config.own_objects import ForeignObjectsError

MOST_BYTES: Final = 1_000_000  # larger files are not mined; handwritten code is far smaller
GIT_SECONDS: Final = 120.0
SKIPPED: Final = frozenset(  # the tools skip the same names; a test compares the two
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
)


@dataclass(frozen=True)
class WorkspaceFiles:
    """Sorted paths of all regular files, and the content of the Python files of up to MOST_BYTES."""

    paths: tuple[str, ...]
    python: Mapping[str, bytes]


def read_workspace(workspace: Path) -> WorkspaceFiles:
    """Read the files of a workspace; raises UsageError if git fails."""
    committed = _committed(workspace)
    if committed:
        files = {path: file for file in committed if listed(path := os.fsdecode(file.path))}
        return WorkspaceFiles(tuple(sorted(files)), dict(_blobs(workspace, files)))
    paths = tuple(sorted(path for path in _walked(workspace) if listed(path)))
    return WorkspaceFiles(paths, dict(_contents(workspace, _python(paths))))


def listed(path: str) -> bool:
    """Whether the tools show this path."""
    return path.isprintable() and not SKIPPED.intersection(path.split("/"))


def _python(paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if path.endswith(".py"))


def _committed(workspace: Path) -> list[TreeFile]:
    """The regular files of HEAD under the workspace; empty if there is no commit."""
    try:
        files = list_files(workspace, "HEAD:./", timeout=GIT_SECONDS)
    except TooLargeError as error:
        raise UsageError(f"{str(workspace)!r} holds {error}; name a smaller directory of it") from error
    except ForeignObjectsError as error:
        raise UsageError(f"{str(workspace)!r} is refused: {error}") from error
    except GitTimeoutError as error:
        raise UsageError(f"{error}; try again") from error
    except GitError:  # no git on this machine, or no commit
        return []
    return [file for file in files if file.mode in REGULAR]


def _blobs(workspace: Path, files: Mapping[str, TreeFile]) -> Iterator[tuple[str, bytes]]:
    paths = [path for path in _python(files) if files[path].size <= MOST_BYTES]
    try:
        contents = read_files(workspace, [files[path] for path in paths], timeout=GIT_SECONDS)
        yield from zip(paths, (content for _, content in contents), strict=True)
    except GitError as error:
        raise UsageError(f"git cannot read {str(workspace)!r}: {error}") from error


def _walked(workspace: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in files:
            path = Path(folder) / name
            if _is_regular(path):
                yield path.relative_to(workspace).as_posix()


def _contents(workspace: Path, paths: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        try:
            content = (workspace / path).read_bytes()
        except OSError:  # unreadable: listed, but not mined
            continue
        if len(content) <= MOST_BYTES:
            yield path, content


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
