"""Reading inside one directory and nowhere else: the sandbox under the tools and the workspace digest.

Covered: absolute paths, "~" and ".." in a path; symbolic links that lead out, at any depth; devices, fifos and
sockets (opened without blocking, then refused); directories, binary and over-large files where text is wanted;
version-control, environment and cache directories, which are not part of a workspace's digest either.
Not covered: hard links made into the workspace (they are regular files); somebody else swapping directories while a
tool runs; what a program started by run_command does once it runs.
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

SKIPPED_DIRECTORIES = frozenset(  # neither pinned nor readable: they change without the code changing
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
)
FILE_BYTES = 2_000_000  # sources stay far below; above it a file is data
SNIFFED_BYTES = 8192  # a NUL this early means binary, the rule git and grep use
MAX_FILES = 50_000  # a directory larger than this is a home directory or a data set, not code
MAX_BYTES = 1_000_000_000  # hashed in about two seconds
SUGGESTIONS = 3  # paths offered when one is not there

_digests: dict[Path, tuple[str, str]] = {}  # root -> (signature, digest); thousands of jobs open one workspace


class BinaryError(RefusedError):
    """The file holds no text."""


@dataclass(frozen=True)
class Entry:
    """A regular file of the workspace, as found by its own name and not through a link."""

    path: str
    """relative to the workspace, "/" between parts"""
    size: int
    """bytes"""
    mtime_ns: int


def walk(root: Path, under: str = "") -> Iterator[Entry]:
    """Every regular file under a directory in sorted order; links are not followed, skipped directories not entered."""
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
    except OSError:  # removed or unreadable in the meantime: nothing to be read there
        return []
    return [(f"{under}/{entry.name}" if under else entry.name, entry) for entry in entries if listed(entry.name)]


def listed(name: str) -> bool:
    """False for skipped directories and for names that are no text, which no JSON message could carry."""
    return name not in SKIPPED_DIRECTORIES and name.isprintable()


def content_digest(root: Path) -> str:
    """Hex sha256 over the sorted relative paths and contents of the regular files that tools can reach.

    It is kept for as long as no file's path, size or modification time changes.

    Raises:
        WorkspaceError: more files or bytes than a workspace may have, or a file that cannot be read.
    """
    entries = []
    total = 0
    for entry in walk(root):
        entries.append(entry)
        total += entry.size
        if len(entries) > MAX_FILES or total > MAX_BYTES:
            raise WorkspaceError(
                f"{str(root)!r} holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes; name a smaller directory"
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
    """The real path of what a model names.

    Raises:
        RefusedError: it is outside, not there, or not a part of the workspace.
    """
    parts = [part for part in text.strip().split("/") if part not in ("", ".")]
    if text.strip().startswith(("/", "~")) or "\0" in text:
        raise RefusedError(f"{text!r} is not inside the workspace; give a path relative to it, like 'src/main.py'")
    if ".." in parts:
        raise RefusedError(f"{text!r} may not hold '..'; give a path from the top of the workspace")
    top = root.resolve()
    try:
        real = top.joinpath(*parts).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle; ValueError: not a possible name
        raise RefusedError(_not_there(root, text)) from None
    if not real.is_relative_to(top):
        raise RefusedError(f"{text!r} is a link out of the workspace and cannot be read")
    if SKIPPED_DIRECTORIES.intersection(part.casefold() for part in real.relative_to(top).parts):  # macOS: .GIT is .git
        raise RefusedError(f"{text!r} is version-control, environment or cache data, not part of the workspace")
    return real


def relative(root: Path, real: Path) -> str:
    """The path of something located, from the top of the workspace; "" for the top itself."""
    inside = real.relative_to(root.resolve()).as_posix()
    return "" if inside == "." else inside


def files_at(root: Path, path: str, glob: str) -> list[Entry]:
    """The files at or under a path whose name, or path if the glob holds a "/", matches.

    Raises:
        RefusedError: as `locate`, or the path is neither file nor directory.
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
        RefusedError: a directory, a device, over-large, binary or unreadable.
    """
    if real.is_dir():
        raise RefusedError(f"{named!r} is a directory; list_dir shows what it holds")
    try:
        # NONBLOCK: opening a fifo must not wait for a writer. NOFOLLOW: the path was resolved, a link now is a swap.
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
    """A glob without "/" is about the file's name, one with "/" about its whole path; "**" spans directories."""
    if "/" not in glob:
        return fnmatchcase(path.rsplit("/", 1)[-1], glob)
    return _path_glob(glob).fullmatch(path.encode()) is not None


@lru_cache(maxsize=64)
def _path_glob(glob: str) -> patterns.Pattern:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./"))
    words = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    try:
        return patterns.compiled("".join(words.get(piece) or re.escape(piece) for piece in pieces))
    except RefusedError:
        raise RefusedError(f"the glob {glob!r} is too long; give one like 'src/**/*.py'") from None


def _not_there(root: Path, text: str) -> str:
    name = text.rstrip("/").rsplit("/", 1)[-1]
    alike = [entry.path for entry in walk(root.resolve()) if entry.path.rsplit("/", 1)[-1] == name][:SUGGESTIONS]
    hint = f"; there is {', '.join(repr(path) for path in alike)}" if alike else "; find_files or list_dir can look"
    return f"there is no {text!r} in the workspace{hint}"
