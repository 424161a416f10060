"""Free disk space and memory of this machine: for heartbeats, cheap enough for every two seconds, and for messages."""

import errno
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

from config.records import JsonObject

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
LOW_BYTES = 100 << 20  # with less, a full disk may be behind any failure: a server without a log, a missing file


def room(folder: Path) -> JsonObject:
    """{"disk": {"free", "total"}, "memory": {"available", "total"}} in bytes; no disk if it cannot be read.

    The disk is that of the folder, or of its nearest parent that exists.
    """
    memory = psutil.virtual_memory()
    found: JsonObject = {"memory": {"available": memory.available, "total": memory.total}}
    with suppress(OSError, StopIteration):
        disk = shutil.disk_usage(_existing(folder))
        found["disk"] = {"free": disk.free, "total": disk.total}
    return found


def free_in(folder: Path) -> str:
    """The free space of a folder's disk, "12 MB free in '/data'"."""
    return f"{shutil.disk_usage(_existing(folder)).free >> 20} MB free in {str(folder)!r}"


def disk_cause(error: Exception, folder: Path) -> str:
    """The free space of a folder's disk if that is, or may be, why work in the folder failed; else ""."""
    full = isinstance(error, OSError) and error.errno in DISK_FULL
    return free_in(folder) if full or shutil.disk_usage(_existing(folder)).free < LOW_BYTES else ""


def _existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(place for place in (folder, *folder.resolve().parents) if place.is_dir())
