"""Free disk space and memory of this machine, for heartbeats: cheap enough for every two seconds."""

import shutil
from contextlib import suppress
from pathlib import Path

import psutil

from config.records import JsonObject


def room(folder: Path) -> JsonObject:
    """{"disk": {"free", "total"}, "memory": {"available", "total"}} in bytes; no disk if it cannot be read.

    The disk is that of the folder, or of its nearest parent that exists.
    """
    memory = psutil.virtual_memory()
    found: JsonObject = {"memory": {"available": memory.available, "total": memory.total}}
    with suppress(OSError, StopIteration):
        disk = shutil.disk_usage(next(place for place in (folder, *folder.resolve().parents) if place.is_dir()))
        found["disk"] = {"free": disk.free, "total": disk.total}
    return found
