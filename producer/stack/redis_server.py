"""Starts and stops the local server: a redis-server or valkey-server child process for one directory."""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import redis
from pydantic import SecretStr

from config.address import without_secret
from config.atomic_files import write_text, writing
from config.environment import outside_environment
from config.errors import StoreError, UsageError
from config.process import ChildProcess, describe_exit, free_port, start_child
from producer.stack.redis_binary import RedisBinary, find_binary

START_SECONDS = 20.0  # 20 to 60 ms is usual; a large append-only file takes longer to load
PORT_TRIES = 5  # another process may take the free port before the server binds it
LOCK_SECONDS = 8.0  # for the server of a killed stack to end: a little over the watchdog's grace
POLL = 0.02

STACK_FILE = "stack.json"  # mode 600: the url contains the password
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
"""  # noeviction: reject writes when memory is full, do not drop jobs. save "": only the append-only file


def ping(url: SecretStr, seconds: float = 2.0) -> bool:
    """Whether a server at `url` accepts its password and answers within `seconds`."""
    try:
        with short_lived_client(url, seconds) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def short_lived_client(url: SecretStr, seconds: float) -> Iterator["redis.Redis"]:
    """Yield a client with a timeout of `seconds` and without retries; its connections are closed at the end."""
    client = redis.Redis.from_url(
        url.get_secret_value(), socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
    )
    try:
        yield client
    finally:
        client.close()


def without_password(url: SecretStr) -> str:
    """The url without its credentials, for messages."""
    return without_secret(url.get_secret_value())


def find_live(folder: Path) -> SecretStr | None:
    """The url of the running server for this directory, or None if no server answers."""
    try:
        written = json.loads((folder / STACK_FILE).read_text())
        url = SecretStr(str(written["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if ping(url) else None


class Server:
    """The server of one directory. `start` starts it, and the `with` block or the death of this process ends it."""

    def __init__(self, binary: RedisBinary, url: SecretStr, child: ChildProcess, folder: Path, lock: IO[str]) -> None:
        self.binary = binary
        self.url = url
        self.child = child
        self.folder = folder
        self._lock = lock

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start a server with its data in `folder`/redis, loopback only, with a new password; returns when it answers.

        Raises UsageError if a server already runs for this directory or no server program is found, and StoreError if
        the server does not start.
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
        """Restart the server, with the same url and data, if it has exited; returns whether it had.

        Raises StoreError if it does not start.
        """
        code = self.child.exit_code
        if code is None:
            return False
        self.child.kill()
        self.child = _launch(self.binary, self.folder, self._lock)
        if not _came_up(self.url, self.child):
            self.child.kill()
            end = f"the end of {self.child.log}:\n{self.child.log_tail()}"
            raise StoreError(f"the server exited ({describe_exit(code)}) and did not restart; {end}")
        return True

    def stop(self) -> None:
        """Send SIGTERM, so that the server saves its data; SIGKILL if it does not end (its directory may be gone)."""
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
    """Take the lock of a folder; raises UsageError if a stack holds it.

    The server inherits the lock. It is free once this process and the server have closed it, even if they were killed.
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
        data = json.dumps(str(folder / "redis"), ensure_ascii=False)  # the server parses C-style quotes
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
    return start_child("server", command, log=folder / LOG_FILE, env=outside_environment(), keep=[lock.fileno()])


def _came_up(url: SecretStr, child: ChildProcess) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while child.exit_code is None and time.monotonic() < deadline:
        if ping(url, seconds=1.0):
            return True
        time.sleep(POLL)
    return False
