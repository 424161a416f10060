"""Reads the files of a git commit from its objects: no index, no checkout, and so none of the repository's filters."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.git import GitError, run_git, stream_git
from config.own_objects import require_own_objects

REGULAR: Final = ("100644", "100755")
EXECUTABLE: Final = "100755"
LINK: Final = "120000"
MOST_ENTRIES: Final = 50_000  # as the tools read; a test compares the two
MOST_BYTES: Final = 1_000_000_000
LEVELS: Final = 100  # of directories; Path.mkdir and find_names call themselves for each
SHOWN: Final = 200  # bytes of a path
BATCH_BYTES: Final = 64 << 20  # of files read into memory at once


@dataclass(frozen=True)
class TreeFile:
    """One file or link of a commit."""

    path: bytes
    """relative to the directory that was listed"""
    mode: str
    """100644, 100755 or 120000"""
    blob: str
    """id of its content"""
    size: int
    """bytes"""


class TooLargeError(GitError):
    """A tree has more entries, bytes or levels than are read."""


def list_files(
    where: Path, tree: str, *, timeout: float, most: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES
) -> list[TreeFile]:
    """The files and links of a tree, such as "HEAD:src" or "HEAD:./" (below `where`), with their sizes; no submodules.

    At most so many files and directories, together, and bytes: a few objects of git can stand for any number of files.

    Raises ForeignObjectsError, TooLargeError at the first entry that is too much, or GitError.
    """
    require_own_objects(where, timeout=timeout)
    files, total = [], 0
    listing = stream_git(where, "ls-tree", "-r", "-t", "-z", "-l", "--full-tree", tree, timeout=timeout)
    with closing(listing):
        for number, entry in enumerate(listing, start=1):
            fields, _, path = entry.partition(b"\t")
            mode, kind, blob, size = fields.decode().split()
            if kind == "blob":
                if not size.isdecimal():
                    raise GitError(f"the content of {path[:SHOWN]!r} is missing; run `git fsck` there")
                files.append(TreeFile(path, mode, blob, int(size)))
                total += int(size)
            if number > most or total > most_bytes:
                raise TooLargeError(f"more than {most:,} files and directories or {most_bytes / 1e9:.1f} GB")
            if path.count(b"/") >= LEVELS:
                raise TooLargeError(f"directories in more than {LEVELS} levels")
    return files


def read_files(where: Path, files: Iterable[TreeFile], *, timeout: float) -> Iterator[tuple[TreeFile, bytes]]:
    """Yield each file with its content, as it is committed. Raises GitError."""
    for batch in _batches(files):
        wanted = "".join(f"{file.blob}\n" for file in batch).encode()
        contents = run_git(where, "cat-file", "--batch", timeout=timeout, given=wanted)
        at = 0
        for file in batch:  # each: "<blob> blob <size>\n<content>\n"
            start = contents.index(b"\n", at) + 1
            size = int(contents[at:start].split()[2])
            at = start + size + 1
            yield file, contents[start : start + size]


def _batches(files: Iterable[TreeFile]) -> Iterator[Sequence[TreeFile]]:
    batch: list[TreeFile] = []
    total = 0
    for file in files:
        if batch and total + file.size > BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += file.size
    if batch:
        yield batch
