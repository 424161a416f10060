"""The files of a workspace as the tools will see them: the committed state where git has one, else the directory."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.errors import UsageError
from config.git import GitError, GitTimeoutError, run_git

MOST_BYTES: Final = 1_000_000  # of one file that is asked about; code that people write stays far below
GIT_SECONDS: Final = 120.0
REGULAR: Final = (b"100644", b"100755")  # modes of git; the tools do not follow links
SKIPPED: Final = frozenset(  # as the tools, which list and search none of these; a test compares the two
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
)


@dataclass(frozen=True)
class WorkspaceFiles:
    """Paths of all regular files, sorted, and the content of those that are Python and not over-large."""

    paths: tuple[str, ...]
    python: Mapping[str, bytes]


def read_workspace(workspace: Path) -> WorkspaceFiles:
    """What a workspace holds; UsageError when git fails half-way."""
    committed = _committed(workspace)
    if committed:
        blobs = {path: blob for path, blob in committed.items() if listed(path)}
        return WorkspaceFiles(tuple(sorted(blobs)), dict(_blobs(workspace, _python(blobs), blobs)))
    paths = tuple(sorted(path for path in _walked(workspace) if listed(path)))
    return WorkspaceFiles(paths, dict(_contents(workspace, _python(paths))))


def listed(path: str) -> bool:
    """Whether the tools show this path."""
    return path.isprintable() and not SKIPPED.intersection(path.split("/"))


def _python(paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if path.endswith(".py"))


def _committed(workspace: Path) -> dict[str, bytes]:
    """The regular files of HEAD under the workspace and their blobs; empty where git has none."""
    try:
        tree = run_git(workspace, "ls-tree", "-r", "-z", "HEAD", timeout=GIT_SECONDS)
    except GitTimeoutError as error:
        raise UsageError(f"{error}; try again") from error
    except GitError:  # no git on this machine, or no commit
        return {}
    entries = (entry.partition(b"\t") for entry in tree.split(b"\0") if entry)
    fields = ((meta.split(), path) for meta, _, path in entries)
    return {os.fsdecode(path): blob for (mode, _, blob), path in fields if mode in REGULAR}


def _blobs(workspace: Path, paths: list[str], blobs: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    wanted = b"".join(blobs[path] + b"\n" for path in paths)
    try:
        batch = run_git(workspace, "cat-file", "--batch", timeout=GIT_SECONDS, given=wanted)
    except GitError as error:
        raise UsageError(f"git cannot read {str(workspace)!r}: {error}") from error
    at = 0
    for path in paths:  # each: "<sha> blob <size>\n<content>\n"
        start = batch.index(b"\n", at) + 1
        size = int(batch[at:start].split()[2])
        at = start + size + 1
        if size <= MOST_BYTES:
            yield path, batch[start : start + size]


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
        except OSError:  # unreadable: it counts as a file, nothing is asked about it
            continue
        if len(content) <= MOST_BYTES:
            yield path, content


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
