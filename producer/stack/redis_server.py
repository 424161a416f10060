"""The embedded server: a redis-server or valkey-server child process for one directory, found, started and stopped."""

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis
from pydantic import SecretStr

from config.atomic_files import write_text, writing
from config.errors import StoreError, UsageError
from config.process import ChildProcess, describe_exit, free_port, start_child
from producer.stack.redis_binary import RedisBinary, find_binary

START_SECONDS = 20.0  # 20 to 60 ms is usual; a large append-only file takes longer to load
PORT_TRIES = 5  # another process may take a free port between our look and the server's bind
LOCK_SECONDS = 8.0  # how long a server whose stack was killed may take to end: the watchdog's grace and some
POLL = 0.02

STACK_FILE = "stack.json"  # mode 600: it holds the url, and so the password
LOCK_FILE = "stack.lock"
CONFIG_FILE = "redis/server.conf"  # mode 600 too
LOG_FILE = "logs/server.log"

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


def ping(url: SecretStr, seconds: float = 2.0) -> bool:
    """Whether a server answers there, to this password, within the time."""
    try:
        with short_lived_client(url, seconds) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def short_lived_client(url: SecretStr, seconds: float) -> Iterator["redis.Redis"]:
    """A client that gives up after `seconds` and leaves no connection open."""
    client = redis.Redis.from_url(
        url.get_secret_value(), socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
    )
    try:
        yield client
    finally:
        client.close()


def without_password(url: SecretStr) -> str:
    """The url as it may be shown."""
    return re.sub(r"//[^@/]*@", "//", url.get_secret_value())


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

    def __init__(self, binary: RedisBinary, url: SecretStr, child: ChildProcess, folder: Path, lock: IO[str]) -> None:
        self.binary = binary
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
        with writing(folder):
            (folder / "redis").mkdir(parents=True, exist_ok=True)
            lock = take_lock(folder)
        try:
            url, child = _start_on_free_port(binary, folder, lock)
            write_text(
                folder / STACK_FILE, json.dumps({"url": url.get_secret_value(), "pid": os.getpid()}), private=True
            )
        except BaseException:
            lock.close()
            raise
        return cls(binary, url, child, folder, lock)

    def revive(self) -> bool:
        """Start it again, at the same url and on the same data, when it has ended; whether that was needed.

        StoreError when it does not come up again.
        """
        code = self.child.exit_code
        if code is None:
            return False
        self.child.kill()
        self.child = _launch(self.binary, self.folder, self._lock)
        if not _came_up(self.url, self.child):
            self.child.kill()
            end = f"the end of {self.child.log}:\n{self.child.log_tail()}"
            raise StoreError(f"the server ended ({describe_exit(code)}) and does not start again; {end}")
        return True

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


def take_lock(folder: Path) -> IO[str]:
    """The folder's lock, held until it is closed here and in every child that has it; UsageError when it is taken.

    The server inherits it, so it is free exactly when no server uses the folder, however its stack ended.
    """
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


def _start_on_free_port(binary: RedisBinary, folder: Path, lock: IO[str]) -> tuple[SecretStr, ChildProcess]:
    password = secrets.token_urlsafe(24)
    for _ in range(PORT_TRIES):
        port = free_port()
        data = json.dumps(str(folder / "redis"), ensure_ascii=False)  # the server reads C-like quotes
        write_text(folder / CONFIG_FILE, CONFIG.format(port=port, password=password, data=data), private=True)
        child = _launch(binary, folder, lock)
        url = SecretStr(f"redis://:{password}@127.0.0.1:{port}/0")
        try:
            if _came_up(url, child):
                return url, child
        except BaseException:
            child.kill()
            raise
        code = child.kill()
        end = f"the end of {child.log}:\n{child.log_tail()}"
        if "in use" not in child.log_tail(50):
            raise StoreError(f"{binary.path} did not start ({describe_exit(code)}); {end}")
    raise StoreError(f"no free port on 127.0.0.1 after {PORT_TRIES} tries; {end}")


def _launch(binary: RedisBinary, folder: Path, lock: IO[str]) -> ChildProcess:
    command = [str(binary.path), str(folder / CONFIG_FILE)]
    return start_child("server", command, log=folder / LOG_FILE, keep=[lock.fileno()])


def _came_up(url: SecretStr, child: ChildProcess) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while child.exit_code is None and time.monotonic() < deadline:
        if ping(url, seconds=1.0):
            return True
        time.sleep(POLL)
    return False
