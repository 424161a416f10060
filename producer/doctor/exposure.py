"""Checks what other users and other machines can read here: files with passwords, and a Flower without a login."""

import http.client
import shlex
import stat
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config.diagnostics import Check, Diagnosis
from producer.stack.redis_server import CONFIG_FILE, STACK_FILE

SERVICES = Path.home() / ".config" / "applejack" / "env"
FLOWER_PORT = 5555
FLOWER_SECONDS = 3.0  # a busy Flower is slow
FLOWER_BYTES = 65_536  # of a page: its title and its navigation


def serves_pages(port: int) -> bool:
    """Whether a Flower on this machine shows its page of workers without a login.

    False if nothing answers, or another program.
    """
    url = f"http://127.0.0.1:{port}/workers"
    try:
        with urllib.request.urlopen(url, timeout=FLOWER_SECONDS) as response:
            return response.url == url and b"Flower" in response.read(FLOWER_BYTES)
    except (OSError, http.client.HTTPException):  # a 401 is an OSError, too
        return False


@dataclass(frozen=True)
class Exposure:
    """What this machine shows; `directory` is where applejack stores its data."""

    directory: Path
    services: Path = SERVICES
    """the secrets of the services that `applejack deploy` installs"""
    flower: Callable[[int], bool] = serves_pages
    """whether a Flower on a port of this machine has no login"""

    def checks(self) -> list[Check]:
        """All checks."""
        return [Check("files with passwords", self.files), Check("Flower's login", self.open_flower)]

    def files(self) -> Iterator[Diagnosis]:
        """Permissions of the files with passwords: two of the embedded server, one of this machine's services."""
        for file in (self.directory / STACK_FILE, self.directory / CONFIG_FILE, self.services):
            if file.is_file() and stat.S_IMODE(file.stat().st_mode) & 0o077:
                yield Diagnosis(
                    "password_readable",
                    "error",
                    f"{str(file)!r} contains a password and is readable by other users",
                    f"chmod 600 {shlex.quote(str(file))}",
                )

    def open_flower(self) -> Iterator[Diagnosis]:
        """`celery flower`, started by hand, listens on every interface and has no login; `applejack flower` has one."""
        if self.flower(FLOWER_PORT):
            yield Diagnosis(
                "flower_open",
                "error",
                f"the Flower on port {FLOWER_PORT} of this machine shows its pages without a login; started by hand, "
                "it also listens on every interface",
                "stop it and start `applejack flower`, or give it --basic-auth and --address=127.0.0.1",
            )
