"""A container engine without containers: what pytest-celery asks of a Docker client, done with child processes.

A container is a process in a session of its own, a volume is a folder, the one network is 127.0.0.1. Covered: run,
kill, restart, logs, exec, port mapping, volumes. Not covered: isolation of files, memory or the network, and images:
program() looks up what a command names. Nothing outlives the test run, not even one ended by SIGKILL, because
each process has a watchdog (config/watchdog.py).
"""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

from config.process import ChildProcess, free_port, start_child
from producer.stack.redis_binary import find_binary

ROOT = Path(__file__).resolve().parents[2]
LISTENS = "0A"  # the state in /proc/net/tcp, which pytest-docker-tools reads in a container
STOP_SECONDS = 10.0  # between SIGTERM and SIGKILL, as Docker does

Attributes = dict[str, object]


class ExecResult(NamedTuple):
    """What a command in a container came to."""

    exit_code: int
    output: bytes


@dataclass(frozen=True)
class Image:
    """A name: what runs is this machine's own."""

    id: str


@dataclass(frozen=True)
class Network:
    """127.0.0.1 by another name."""

    name: str

    def remove(self) -> None:
        """Nothing to remove."""


@dataclass(frozen=True)
class Volume:
    """A folder."""

    name: str
    folder: Path

    def remove(self, force: bool = False) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=force)


@dataclass(eq=False)
class Container:
    """One process, and what it was started with."""

    command: list[str]
    folder: Path
    environment: dict[str, str]
    binds: dict[str, Path]
    ports: dict[str, int]
    network: str
    labels: dict[str, str]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "created"
    child: ChildProcess | None = None

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"process-{self.id[:12]}"

    @property
    def log(self) -> Path:
        """Its output, over all its starts."""
        return self.folder / f"{self.id[:12]}.log"

    @property
    def attrs(self) -> Attributes:
        """As `docker inspect` answers, as far as anybody asks."""
        # The host name stands in urls that other containers use: with the port, since all share one address.
        host = "".join(f"127.0.0.1:{port}" for port in itertools.islice(self.ports.values(), 1)) or self.id[:12]
        return {
            "Config": {
                "Hostname": host,
                "Env": [f"{key}={value}" for key, value in self.environment.items()],
                "Labels": self.labels,
            },
            "HostConfig": {"PortBindings": {}},
            "Mounts": [],
            "NetworkSettings": {
                "Networks": {self.network: {"IPAddress": "127.0.0.1"}},
                "Ports": {name: [{"HostPort": str(port)}] for name, port in self.ports.items()},
            },
        }

    def start(self) -> None:
        """Start the command, its output going on in the same log."""
        command = [part.replace("%h", self.id[:12]) for part in self.command]  # else all nodes of a host share a name
        started = program(command, self.ports)
        self.child = start_child(self.name, started, log=self.log, env=self._environment(), cwd=self._folder())
        self.status = "running"

    def _environment(self) -> dict[str, str]:
        paths = [str(self.binds.get(path, path)) for path in self.environment.get("PYTHONPATH", "").split(os.pathsep)]
        return {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join([*filter(None, paths), str(ROOT)])}

    def _folder(self) -> Path:
        own = self.folder / self.id[:12]
        own.mkdir(exist_ok=True)
        return next(iter(self.binds.values()), own)

    def reload(self) -> None:
        """Look whether it still runs."""
        if self.child is not None and self.child.exit_code is not None:
            self.status = "exited"

    def kill(self, signal_: str | int | None = None) -> None:
        """A signal: SIGKILL, the default, ends the whole session; others go to the command."""
        assert self.child is not None
        number = signal.Signals[signal_] if isinstance(signal_, str) else signal.Signals(signal_ or signal.SIGKILL)
        if number is signal.SIGKILL:
            self.child.kill()
        elif number is signal.SIGTERM:
            self.child.ask_to_end()
        else:
            self.child.send(number)
        self.reload()

    def restart(self, timeout: float = STOP_SECONDS) -> None:
        """SIGTERM, SIGKILL after `timeout` seconds, and a new start."""
        assert self.child is not None
        self.child.stop(timeout)
        self.start()

    def wait(self, timeout: float | None = None) -> dict[str, int]:
        """Until it ends."""
        assert self.child is not None
        return {"StatusCode": self.child.process.wait(timeout)}

    def remove(self, force: bool = False) -> None:  # noqa: ARG002  # Docker's signature; all we do is by force
        """End it; its log stays for the report."""
        if self.child is not None:
            self.child.kill()
        self.status = "removed"

    def logs(self) -> bytes:
        """Everything it has said."""
        return self.log.read_bytes() if self.log.exists() else b""

    def exec_run(self, command: str | Sequence[str]) -> ExecResult:
        """Run a command beside it; the listening ports are told as they would be inside a container."""
        if isinstance(command, str) and command.startswith("cat /proc/net/tcp"):
            open_ = [int(name.partition("/")[0]) for name, port in self.ports.items() if listens(port)]
            lines = [f"0: 00000000:{port:04X} 00000000:0000 {LISTENS}" for port in open_]
            return ExecResult(0, "\n".join(lines).encode())
        parts = command.split() if isinstance(command, str) else list(command)
        done = subprocess.run(program(parts, {}), env=self._environment(), cwd=self._folder(), capture_output=True)
        return ExecResult(done.returncode, done.stdout + done.stderr)

    def put_archive(self, path: str, data: IO[bytes]) -> bool:
        """Unpack a tar archive into the volume bound at `path`."""
        with tarfile.open(fileobj=data) as archive:
            archive.extractall(self.binds[path], filter="data")
        return True


class Engine:
    """What pytest-celery calls a Docker client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Container] = []
        self._volumes: dict[str, Volume] = {}

    @property
    def containers(self) -> "Engine":
        """Docker's name for where `run` is."""
        return self

    @property
    def images(self) -> "Images":
        """Docker's name for where `build` is."""
        return Images()

    @property
    def networks(self) -> "Networks":
        """Docker's name for where networks are made."""
        return Networks()

    @property
    def volumes(self) -> "Volumes":
        """Docker's name for where volumes are made."""
        return Volumes(self.folder, self._volumes)

    def create(
        self,
        image: str,  # noqa: ARG002  # see Image
        command: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, Mapping[str, str]] | None = None,
        ports: Mapping[str, int | None] | None = None,
        network: str = "localhost",
        labels: Mapping[str, str] | None = None,
        detach: bool = True,  # noqa: ARG002  # always
    ) -> Container:
        """A container that has not started; an option nobody here has thought of is a TypeError."""
        container = Container(
            list(command),
            self.folder,
            dict(environment or {}),
            {bind["bind"]: self._volumes[name].folder for name, bind in (volumes or {}).items()},
            {name: port or free_port() for name, port in (ports or {}).items()},
            network,
            dict(labels or {}),
        )
        self.started.append(container)
        return container

    def run(self, image: str, command: Sequence[str] = (), **options: object) -> Container:
        """Create and start."""
        container = self.create(image, command, **options)  # type: ignore[arg-type]  # create checks them
        container.start()
        return container

    def close(self) -> None:
        """End whatever still runs."""
        for container in self.started:
            container.remove(force=True)


class Images:
    """There are none: building gives a name."""

    def build(self, **options: object) -> tuple[Image, Iterator[str]]:
        """The tag as an image, and no log."""
        return Image(cast(str, options.get("tag", "image"))), iter(())

    def pull(self, repository: str, **_: object) -> Image:
        """The name as an image."""
        return Image(repository)


class Networks:
    """All are 127.0.0.1."""

    def create(self, name: str, **_: object) -> Network:
        """A name."""
        return Network(name)


@dataclass(frozen=True)
class Volumes:
    """Folders by name."""

    folder: Path
    made: dict[str, Volume]

    def create(self, name: str, **_: object) -> Volume:
        """A new folder."""
        self.made[name] = Volume(name, self.folder / name)
        self.made[name].folder.mkdir()
        return self.made[name]


def program(command: Sequence[str], ports: Mapping[str, int]) -> list[str]:
    """This machine's own program for a container's command."""
    name, *rest = command
    if name == "redis-server":
        return [str(find_binary().path), *rest, "--bind", "127.0.0.1", "--port", str(ports["6379/tcp"])]
    if name == "celery":
        return [sys.executable, "-m", "celery", *rest]
    if name == "python":
        return [sys.executable, *rest]
    raise ValueError(f"the process engine has no program for {name!r}; add it to program() in {__file__}")


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
