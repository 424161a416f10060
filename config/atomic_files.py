"""Atomic writes: a reader of a file or a directory sees the old content or the whole new content.

The new content is built in a hidden directory beside the target and then renamed. A killed attempt leaves that
directory behind; the next attempt at the same target removes it, after it has put back a target that was moved there.
"""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from config.errors import UsageError

SUFFIX: Final = ".partial"


def write_text(path: Path, text: str, *, private: bool = False) -> Path:
    """Write a UTF-8 file; returns its path. A private one can be read by its owner only."""
    with replace_file(path, private=private) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines of UTF-8, each ended by a newline; returns their number."""
    count = 0
    with replace_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count


@contextmanager
def replace_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield the path of a file to write. It takes the place of `path` when the block ends without an exception."""
    with _workplace(path) as place:
        draft = place / path.name
        if private:  # before the first byte is written
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield draft
        with draft.open("rb+") as written:
            os.fsync(written.fileno())
        draft.replace(path)


@contextmanager
def replace_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory to fill. It takes the place of `target` when the block ends without an exception.

    Between the two renames there is no `target`. If the second rename fails, the old directory is put back.
    """
    if not target.parent.exists():  # a parent that is a file raises below: "Not a directory"
        target.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(target) as place:
        fresh, old = place / "new", place / "old"
        fresh.mkdir()
        yield fresh
        if os.path.lexists(target):
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            with suppress(OSError):
                old.rename(target)
            raise


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Translate an OSError into a one-line UsageError that names `place`, a path from the user."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{str(place)!r} cannot be written: {error.strerror or error}") from error


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """Yield a hidden directory beside the target. It is locked while this process lives, and removed at the end."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*{SUFFIX}"):
        with suppress(OSError):  # locked by a live attempt, or the file system has no locks
            os.close(_lock(left))
            if (left / "old").exists() and not os.path.lexists(target):  # killed between the two renames
                (left / "old").rename(target)
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    place, lock = made, None
    try:
        with suppress(OSError):
            lock = _lock(made)
        place = made.rename(f"{made}{SUFFIX}")  # locked before another attempt can mistake it for an abandoned one
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
