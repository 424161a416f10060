"""Finds everything below a directory without reading a file: the names, links and signatures of a workspace."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import WorkspaceError

SKIPPED_DIRECTORIES = frozenset(  # neither pinned nor readable: they change independently of the code
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
)
MAX_FILES = 50_000  # a larger directory is a home directory or a data set, not code
MAX_BYTES = 1_000_000_000  # hashed in about two seconds

Signature = tuple[int, int, int, int]
"""inode, bytes, modification time and change time in ns; a program can set all but the last"""


@dataclass
class Names:
    """Everything below a directory, found without reading a file."""

    files: dict[str, Signature] = field(default_factory=dict)
    listings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    links: dict[str, str | None] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)


def listed(name: str) -> bool:
    """False for skipped directories, and for names with unprintable characters, which JSON messages cannot hold."""
    return name not in SKIPPED_DIRECTORIES and name.isprintable()


def find_names(root: Path) -> Names:
    """The names below a directory. Links are not followed, and skipped directories are not entered.

    Raises:
        WorkspaceError: too many files or bytes for a workspace.
    """
    found = Names()
    total = links = 0
    waiting = [(path, entry) for path, entry in reversed(_children(root, "", found))]
    while waiting:
        path, entry = waiting.pop()
        if entry.is_symlink():
            _add_link(root, path, found)
            links += 1
        elif entry.is_dir(follow_symlinks=False):
            waiting.extend(reversed(_children(root, path, found)))
        elif entry.is_file(follow_symlinks=False):
            found.files[path] = signature_of(entry.stat(follow_symlinks=False))
            total += found.files[path][1]
        else:
            found.devices.add(path)
        if len(found.files) + links > MAX_FILES or total > MAX_BYTES:
            raise WorkspaceError(
                f"{str(root)!r} has more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes; name a smaller directory"
            )
    return found


def _children(root: Path, under: str, found: Names) -> list[tuple[str, os.DirEntry[str]]]:
    prefix = f"{under}/" if under else ""
    try:
        with os.scandir(root / under) as entries:
            every = sorted(entries, key=lambda entry: entry.name)
    except OSError:  # removed or unreadable meanwhile
        every = []
    found.skipped.update(prefix + entry.name for entry in every if entry.name in SKIPPED_DIRECTORIES)
    kept = [entry for entry in every if listed(entry.name)]
    found.listings[under] = tuple(f"{entry.name}/" if _is_directory(entry) else entry.name for entry in kept)
    return [(prefix + entry.name, entry) for entry in kept]


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a cycle of links
        return False


def _add_link(root: Path, path: str, found: Names) -> None:
    try:
        (root / path).stat()  # the system follows up to 40 links (macOS: 32), resolve() any number
        real = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a cycle of links
        return
    inside = real.relative_to(root) if real.is_relative_to(root) else None
    if inside is None:
        found.links[path] = None
    elif SKIPPED_DIRECTORIES.intersection(part.casefold() for part in inside.parts):  # on macOS .GIT is .git
        found.skipped.add(path)
    else:
        found.links[path] = "" if inside == Path() else inside.as_posix()


def signature_of(status: os.stat_result) -> Signature:
    """The signature of a file."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
