"""Reads the files of a git commit from its objects: no index, no checkout, and so none of the repository's filters."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.git import run_git

REGULAR: Final = ("100644", "100755")
EXECUTABLE: Final = "100755"
LINK: Final = "120000"
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


def list_files(where: Path, tree: str, *, timeout: float) -> list[TreeFile]:
    """The files and links of a tree, such as "HEAD:src" or "HEAD:./" (below `where`), with their sizes; no submodules.

    Raises GitError.
    """
    listing = run_git(where, "ls-tree", "-r", "-z", "-l", "--full-tree", tree, timeout=timeout)
    files = []
    for entry in filter(None, listing.split(b"\0")):
        fields, _, path = entry.partition(b"\t")
        mode, kind, blob, size = fields.decode().split()
        if kind == "blob":
            files.append(TreeFile(path, mode, blob, int(size)))
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
