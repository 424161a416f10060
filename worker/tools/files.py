"""Restricts reads to one directory: the sandbox for the tools and for the workspace digest.

Covered: absolute paths, "~" and ".." in a path; symbolic links that lead out, at any depth; devices, fifos and
sockets (opened without blocking, then refused); directories, binary files and files that are too large for text;
version-control, environment and cache directories, which the workspace digest leaves out too.
Not covered: hard links into the workspace (they are regular files); another process that swaps directories while a
tool runs; the actions of a program started by run_command.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from config.errors import WorkspaceError
from worker.tools import patterns
from worker.tools.patterns import RefusedError

SKIPPED_DIRECTORIES = frozenset(  # neither pinned nor readable: they change independently of the code
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
)
FILE_BYTES = 2_000_000  # source files are far smaller; larger files are data
SNIFFED_BYTES = 8192  # a NUL byte in here means binary, as in git and grep
MAX_FILES = 50_000  # a larger directory is a home directory or a data set, not code
MAX_BYTES = 1_000_000_000  # hashed in about two seconds
SUGGESTIONS = 3  # similar paths listed when a path does not exist

_digests: dict[Path, tuple[str, str]] = {}  # root -> (signature, digest); thousands of jobs open the same workspace


class BinaryError(RefusedError):
    """The file is binary."""


@dataclass(frozen=True)
class Entry:
    """A regular file of the workspace, not a link to one."""

    path: str
    """relative to the workspace, with "/" as separator"""
    size: int
    """bytes"""
    mtime_ns: int


def walk(root: Path, under: str = "") -> Iterator[Entry]:
    """Every regular file under a directory, sorted. Links are not followed, and skipped directories are not entered."""
    waiting = list(reversed(_children(root, under)))
    while waiting:
        path, entry = waiting.pop()
        if entry.is_dir(follow_symlinks=False):
            waiting.extend(reversed(_children(root, path)))
        elif entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            yield Entry(path, status.st_size, status.st_mtime_ns)


def _children(root: Path, under: str) -> list[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(root / under) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:  # removed or unreadable meanwhile
        return []
    return [(f"{under}/{entry.name}" if under else entry.name, entry) for entry in entries if listed(entry.name)]


def listed(name: str) -> bool:
    """False for skipped directories, and for names with unprintable characters, which JSON messages cannot hold."""
    return name not in SKIPPED_DIRECTORIES and name.isprintable()


def content_digest(root: Path) -> str:
    """Hex sha256 over the sorted relative paths and contents of the regular files that tools can reach.

    The digest is cached while no file's path, size or modification time changes.

    Raises:
        WorkspaceError: too many files or bytes for a workspace, or a file that cannot be read.
    """
    entries = []
    total = 0
    for entry in walk(root):
        entries.append(entry)
        total += entry.size
        if len(entries) > MAX_FILES or total > MAX_BYTES:
            raise WorkspaceError(
                f"{str(root)!r} has more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes; name a smaller directory"
            )
    signature = hashlib.sha256(repr(entries).encode()).hexdigest()
    known = _digests.get(root)
    if known and known[0] == signature:
        return known[1]
    digest = hashlib.sha256()
    for entry in entries:
        try:
            content = hashlib.sha256((root / entry.path).read_bytes()).hexdigest()
        except OSError as error:
            raise WorkspaceError(f"{str(root / entry.path)!r} cannot be read: {error.strerror}") from None
        digest.update(f"{entry.path}\0{content}\n".encode())
    _digests[root] = (signature, digest.hexdigest())
    return digest.hexdigest()


def locate(root: Path, text: str) -> Path:
    """The real path of a path that a model gave.

    Raises:
        RefusedError: it does not exist, lies outside, or is not part of the workspace.
    """
    parts = [part for part in text.strip().split("/") if part not in ("", ".")]
    if text.strip().startswith(("/", "~")) or "\0" in text:
        raise RefusedError(f"{text!r} is not inside the workspace; give a path relative to it, like 'src/main.py'")
    if ".." in parts:
        raise RefusedError(f"{text!r} may not hold '..'; give a path from the top of the workspace")
    top = root.resolve()
    try:
        real = top.joinpath(*parts).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a cycle of links; ValueError: an invalid name
        raise RefusedError(_not_there(root, text)) from None
    if not real.is_relative_to(top):
        raise RefusedError(f"{text!r} is a link out of the workspace and cannot be read")
    if SKIPPED_DIRECTORIES.intersection(part.casefold() for part in real.relative_to(top).parts):  # macOS: .GIT is .git
        raise RefusedError(f"{text!r} is version-control, environment or cache data, not part of the workspace")
    return real


def relative(root: Path, real: Path) -> str:
    """A located path relative to the top of the workspace; "" for the top itself."""
    inside = real.relative_to(root.resolve()).as_posix()
    return "" if inside == "." else inside


def files_at(root: Path, path: str, glob: str) -> list[Entry]:
    """The files at or under a path whose name matches the glob, or whose path does if the glob has a "/".

    Raises:
        RefusedError: see `locate`; or the path is neither a file nor a directory.
    """
    real = locate(root, path)
    under = relative(root, real)
    if real.is_dir():
        return [entry for entry in walk(root.resolve(), under) if glob_matches(glob, entry.path)]
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError(f"{path!r} is a device, pipe or socket, not a file")
    return [Entry(under, status.st_size, status.st_mtime_ns)]


def read_bytes(real: Path, named: str) -> bytes:
    """The content of a located text file.

    Raises:
        RefusedError: it is a directory, a device, too large, binary or unreadable.
    """
    if real.is_dir():
        raise RefusedError(f"{named!r} is a directory; list_dir shows what it holds")
    try:
        # NONBLOCK: do not wait for the writer of a fifo. NOFOLLOW: the path is resolved, so a link now means a swap.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(f"{named!r} cannot be opened: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"{named!r} is a device, pipe or socket, not a file")
        if status.st_size > FILE_BYTES:
            raise RefusedError(f"{named!r} has {status.st_size:,} bytes; files over {FILE_BYTES:,} bytes are not read")
        content = file.read(FILE_BYTES + 1)
    if b"\0" in content[:SNIFFED_BYTES]:
        raise BinaryError(f"{named!r} is a binary file and cannot be shown as text")
    return content


def glob_matches(glob: str, path: str) -> bool:
    """A glob without "/" matches the file's name, one with "/" the whole path. "**" spans directories."""
    if "/" not in glob:
        return fnmatchcase(path.rsplit("/", 1)[-1], glob)
    return _path_glob(glob).fullmatch(path.encode()) is not None


@lru_cache(maxsize=64)
def _path_glob(glob: str) -> patterns.Pattern:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./"))
    regexes = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    try:
        return patterns.compiled("".join(regexes.get(piece) or re.escape(piece) for piece in pieces))
    except RefusedError:
        raise RefusedError(f"the glob {glob!r} is too long; give one like 'src/**/*.py'") from None


def _not_there(root: Path, text: str) -> str:
    name = text.rstrip("/").rsplit("/", 1)[-1]
    namesakes = [entry.path for entry in walk(root.resolve()) if entry.path.rsplit("/", 1)[-1] == name][:SUGGESTIONS]
    hint = (
        f"; there is {', '.join(repr(path) for path in namesakes)}"
        if namesakes
        else "; find_files or list_dir can look"
    )
    return f"there is no {text!r} in the workspace{hint}"
