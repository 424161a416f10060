"""Files of applejack can be read by their owner only, whatever the umask: they hold prompts, answers and passwords."""

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_files_private() -> None:
    """Let this process and its children create files of mode 600 and directories of mode 700 from now on.

    Files that all users of a machine share, such as the device lock, get their mode when they are created.
    """
    os.umask(os.umask(OTHERS) | OTHERS)


def restrict(places: Iterable[Path]) -> list[Path]:
    """Take the access of other users from files and directories of an earlier version; returns those that had it.

    What is inside a directory of mode 700 is out of reach, whatever its own mode.
    """
    return [place for place in places if _restricted(place)]


def restrict_log() -> None:
    """The same for the file that stderr was redirected to, as launchd does, if it belongs to this user."""
    with suppress(OSError, ValueError):
        found = os.fstat(sys.stderr.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_mode & OTHERS:
            os.fchmod(sys.stderr.fileno(), stat.S_IMODE(found.st_mode) & ~OTHERS)


def is_open(place: Path) -> bool:
    """Whether other users may read or enter a file or directory of this user. A link is not followed."""
    with suppress(OSError):
        found = place.lstat()
        return not stat.S_ISLNK(found.st_mode) and found.st_uid == os.getuid() and bool(found.st_mode & OTHERS)
    return False


def _restricted(place: Path) -> bool:
    if is_open(place):
        with suppress(OSError):
            place.chmod(stat.S_IMODE(place.stat().st_mode) & ~OTHERS)
            return True
    return False
