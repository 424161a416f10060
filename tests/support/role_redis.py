"""A Redis that redis-start.sh has started with a user for each role, and an admin for the log of denied commands."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from config.process import free_port, start_child
from producer.stack.redis_binary import find_binary
from producer.stack.redis_server import ping, short_lived_client
from tests.support.workers import ROOT

ROLES = ("producer", "generate", "curate", "train", "monitor")
ADMIN = "user admin on >admin ~* &* +@all\n"


@dataclass(frozen=True)
class RoleRedis:
    """Its port, and the password of each user."""

    port: int
    passwords: dict[str, str]
    pid: int
    log: Path

    def url(self, user: str) -> SecretStr:
        """URL of a user."""
        return SecretStr(f"redis://{user}:{self.passwords[user]}@127.0.0.1:{self.port}/0")

    def denied(self) -> set[str]:
        """Commands and keys denied since `forget`, with their user."""
        with short_lived_client(self.url("admin"), 5) as client:
            return {f"{entry['object']} ({entry['username']}: {entry['client-info']})" for entry in client.acl_log()}

    def forget(self) -> None:
        """Empty the log of denied commands."""
        with short_lived_client(self.url("admin"), 5) as client:
            client.acl_log_reset()


@contextmanager
def role_redis(
    folder: Path, *, users: tuple[str, ...] = (*ROLES, "applejack"), server: Path | None = None
) -> Iterator[RoleRedis]:
    """Start Redis as a deployment does, with these users."""
    shutil.copytree(ROOT / "config" / "deploy", folder / "deploy")
    with (folder / "deploy" / "users.acl").open("a") as file:
        file.write(ADMIN)
    (folder / "data").mkdir()
    passwords = {user: secrets.token_hex(24) for user in users}
    variables = {
        "REDIS_PASSWORD" if user == "applejack" else f"REDIS_PASSWORD_{user.upper()}": password
        for user, password in passwords.items()
    }
    port = free_port()
    env = {**os.environ, **variables, "REDIS_SERVER": str(server or find_binary().path)}
    command = ["sh", str(folder / "deploy" / "redis-start.sh"), "--port", str(port), "--bind", "127.0.0.1"]
    child = start_child(
        "redis", [*command, "--dir", str(folder / "data")], log=folder / "redis.log", env=env, cwd=folder
    )
    admin = SecretStr(f"redis://admin:admin@127.0.0.1:{port}/0")
    deadline = time.monotonic() + 20
    try:
        while not ping(admin):
            assert child.exit_code is None, child.log_tail()
            assert time.monotonic() < deadline, child.log_tail()
            time.sleep(0.1)
        [process] = psutil.Process(child.process.pid).children()
        yield RoleRedis(port, {**passwords, "admin": "admin"}, process.pid, folder / "redis.log")
    finally:
        child.stop()
