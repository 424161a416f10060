"""One Mac of the fleet: a worker, its model server and its network."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from pydantic import SecretStr

from config.process import session_members
from tests.support.proxy import Proxy
from tests.support.workers import WorkerProcess

MODEL_SERVER = "tests.support.planted.scripted_server"  # as tests/support/planted/unhurried.py has it started


@dataclass
class Node:
    """One worker of the fleet, its network, and whether it can be disturbed now."""

    name: str
    disk: Path
    """its APPLEJACK_DIR"""
    proxy: Proxy
    process: WorkerProcess
    awake: bool = True
    connected: bool = True
    killed: bool = False

    @property
    def lives(self) -> bool:
        """Runs, and is not suspended; one whose watchdog has not started it yet does not."""
        child = self.process.child
        return self.awake and child.exit_code is None and bool(session_members(child.process.pid))

    @property
    def model_server(self) -> psutil.Process | None:
        """Its model server (not the watchdog of it), when it has one that is not suspended."""
        for pid in session_members(self.process.child.process.pid):
            with suppress(psutil.Error):
                for child in psutil.Process(pid).children(recursive=True):
                    if MODEL_SERVER in child.cmdline()[:4] and child.status() != psutil.STATUS_STOPPED:
                        return child
        return None


def port_of(url: SecretStr) -> int:
    """The port of a Redis url."""
    port = urlsplit(url.get_secret_value()).port
    assert port is not None
    return port
