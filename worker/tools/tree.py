"""The content of a workspace when it was opened: names, links, and a hash of each file.

Tools list from this record, and a file that they read has the recorded content or is not returned. A job costs no walk
over the directory and still cannot read edited code.

Covered: files edited in place (also with a restored modification time), replaced, added, removed or turned into links;
links that lead elsewhere; a directory that is made anew at the same place, which is the same content.
Not covered: a write through a memory map that was made before; an edit while a program of run_command runs.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Self

from config.errors import WorkspaceError
from worker.secrets import Secret, find_secrets, replace
from worker.tools.globs import matching
from worker.tools.names import Names, Signature, find_names, signature_of

SETTLED_NS = 2_000_000_000  # coarsest time stamps of a file system: a second edit within it may leave them unchanged
GLOBS = 16  # results kept per tree, up to 400 KB each: a run asks for "*.py" again and again
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # removed, or replaced by a link, fifo or socket


class EditedError(WorkspaceError):
    """The files are no longer those that were opened."""


@dataclass(slots=True)
class _File:
    size: int
    sha256: bytes
    signature: Signature | None
    """of a file that has the hash; None if it was changed so recently that an equal signature proves nothing"""
    secrets: tuple[Secret, ...] | None = None
    """None: not yet searched"""


class Tree:
    """The files of one directory, as they were when it was opened. Threads may share it.

    50,000 files take about 25 MB. All paths are relative, with "/" as separator; the directory itself is "".
    """

    def __init__(self, root: Path, names: Names) -> None:
        self.root = root
        self.listings = names.listings
        """names in each directory, sorted; those of directories end with "/" """
        self.links = names.links
        """where each link leads; None: out of the workspace. Broken links are left out."""
        self.devices = names.devices
        self.skipped = names.skipped
        """directories that are neither pinned nor readable, and links into them"""
        self.edited = False
        """whether a file was found to differ"""
        self.matching = lru_cache(maxsize=GLOBS)(self._matching)
        """paths below a directory that match a glob; raises RefusedError for a glob that is too long"""
        self._files: dict[str, _File] = {}

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read every file once.

        Raises:
            WorkspaceError: too many files or bytes for a workspace, or a file that cannot be read.
        """
        root = root.resolve()
        names = find_names(root)
        tree = cls(root, names)
        for path in names.files:
            settled_before = time.time_ns() - SETTLED_NS
            with _opened(root, path) as file:
                signature = signature_of(os.fstat(file.fileno()))
                sha256 = hashlib.file_digest(file, "sha256").digest()
            settled = signature[3] < settled_before
            tree._files[path] = _File(signature[1], sha256, signature if settled else None)
        return tree

    def moved(self, root: Path) -> Self:
        """The same tree after its directory was renamed."""
        self.root = root.resolve()
        return self

    @property
    def digest(self) -> str:
        """Hex sha256 over the sorted relative paths and contents of the regular files that tools can reach."""
        digest = hashlib.sha256()
        for path, file in self._files.items():
            digest.update(f"{path}\0{file.sha256.hex()}\n".encode())
        return digest.hexdigest()

    def paths(self, under: str = "") -> list[str]:
        """The files below a directory, in the order of a walk that sorts each directory by name."""
        return [path for path in self._files if path.startswith(f"{under}/")] if under else list(self._files)

    def _matching(self, under: str, glob: str) -> tuple[str, ...]:
        return tuple(matching(glob, self.paths(under)))

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if the path is not a file."""
        file = self._files.get(path)
        return file.size if file else None

    def content(self, path: str) -> bytes:
        """The content of a file. Hashes it again only if the file's signature has changed.

        Raises:
            EditedError: it is no longer the content that was opened.
        """
        known = self._files[path]
        settled_before = time.time_ns() - SETTLED_NS
        try:
            with _opened(self.root, path) as file:
                before = os.fstat(file.fileno())
                content = file.read() if stat.S_ISREG(before.st_mode) and before.st_size == known.size else None
                signature = signature_of(os.fstat(file.fileno()))  # an edit during the read changes it
        except EditedError:
            raise self._edited(path) from None
        if content is None or signature != signature_of(before):
            raise self._edited(path)
        if signature != known.signature:
            if hashlib.sha256(content).digest() != known.sha256:
                raise self._edited(path)
            if signature[3] < settled_before:
                known.signature = signature
        return content

    def masked(self, path: str, content: bytes) -> bytes:
        """A file's content with masks in the place of its secrets. Lines keep their numbers.

        The whole file is searched, once: a line of a private key, or the start of a long token, is none by itself.
        """
        known = self._files[path]
        if known.secrets == ():
            return content
        text = content.decode(errors="surrogateescape")  # other bytes stay as they are
        if known.secrets is None:
            known.secrets = tuple(find_secrets(text))
        return replace(text, known.secrets).encode(errors="surrogateescape")

    def verify(self) -> None:
        """Compare the directory with the record: about 10 ms for 2,500 files.

        Raises:
            EditedError: something was edited, added or removed.
        """
        found = find_names(self.root)
        differing = {path for path, _ in found.listings.items() ^ self.listings.items()}
        differing |= {path for path, _ in found.links.items() ^ self.links.items()}
        differing |= found.files.keys() ^ self._files.keys()
        if differing:
            raise self._edited(max(differing))  # the deepest, not the directory that holds it
        for path, signature in found.files.items():
            if signature != self._files[path].signature:
                self.content(path)

    def _edited(self, path: str) -> EditedError:
        self.edited = True
        return _edited(self.root, path)


@contextmanager
def _opened(root: Path, path: str) -> Iterator[BufferedReader]:
    try:
        # NONBLOCK: do not wait for the writer of a fifo. NOFOLLOW: a link here means a swap.
        handle = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in GONE:
            raise _edited(root, path) from None
        raise WorkspaceError(f"{str(root / path)!r} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        yield file


def _edited(root: Path, path: str) -> EditedError:
    return EditedError(
        f"{str(root / path)!r} was edited, added or removed after the workspace was opened; "
        "bring the directory to the state that the run is pinned to, or name the workspace by a git commit"
    )
