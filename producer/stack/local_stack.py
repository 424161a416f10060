"""The embedded stack of `applejack up` and `applejack demo`: server, workers and Flower as our child processes."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Literal, Self

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from config.atomic_files import writing
from config.broker import make_app
from config.errors import StoreError
from config.process import free_port
from config.settings import Settings
from config.topology import QUEUE_CURATE, QUEUE_GENERATE, QUEUE_TRAIN
from producer.stack.flower_credentials import Credentials, find_credentials
from producer.stack.managed_process import ManagedProcess, ProcessExit
from producer.stack.redis_server import Server, ping, take_lock, without_password

Role = Literal["generate", "curate", "train"]
QUEUE_OF: dict[Role, str] = {"generate": QUEUE_GENERATE, "curate": QUEUE_CURATE, "train": QUEUE_TRAIN}

FLOWER_PORT = 5555  # Flower's own; another when it is taken
READY_SECONDS = 60.0  # workers that import their whole world on two busy cores
WARM_SECONDS = 10.0  # what a worker in mid-job gets to finish; the ledger's leases give the rest to others
TEND_SECONDS = 1.0


def worker_command(role: Role, *, name: str, concurrency: int, loglevel: str = "WARNING") -> list[str]:
    """The command that starts a worker for a stage's queue; its Celery node is NAME@HOST.

    Threads: they answer while busy, and prefork has crashed on Apple Silicon. Heavy work is in child processes anyway.
    """
    return [
        *(sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-Q", QUEUE_OF[role], "-n", f"{name}@%h"),
        *("-P", "threads", "-c", str(concurrency), "-E", "--loglevel", loglevel),
        *("--without-mingle", "--without-gossip"),  # nothing here needs workers to know each other; saves a second
    ]


@dataclass
class Stack:
    """Server (unless the settings name one), workers and Flower; a `with` block starts and stops all of it.

    `env` goes to the workers on top of this process's environment.
    """

    settings: Settings
    generate: int = 2
    concurrency: int = 2
    flower: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.settings.dir.resolve()
        self.flower_url: str | None = None
        self.credentials: Credentials | None = None
        self._members: list[ManagedProcess] = []
        self.server: Server | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> Settings:
        """The settings with the url of the server that the stack runs on, for make_app and the ledger."""
        return self._running

    def member(self, name: str) -> ManagedProcess:
        """One child by its name: generate1, curate, train, flower."""
        return next(member for member in self._members if member.name == name)

    @property
    def urls(self) -> dict[str, str]:
        """What a person may open; no password in it."""
        assert self.running.redis_url is not None
        shown = {"redis": without_password(self.running.redis_url)}
        if self.flower_url:
            shown |= {"flower": self.flower_url, "runs": f"{self.flower_url}/runs"}
        return shown

    def _start(self) -> None:
        with writing(self.folder):
            (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        url = self.settings.redis_url
        if url is None:
            self.server = Server.start(self.folder)
            url = self.server.url
        else:
            with writing(self.folder):
                self._lock = take_lock(self.folder)
            if not ping(url, seconds=5.0):
                raise StoreError(f"no Redis answers at {without_password(url)}; check APPLEJACK_REDIS_URL")
        self._running = self.settings.model_copy(update={"redis_url": url, "dir": self.folder})
        for number in range(1, self.generate + 1):
            name = f"generate{number}"
            self._add(name, worker_command("generate", name=name, concurrency=self.concurrency))
        self._add("curate", worker_command("curate", name="curate", concurrency=1))
        self._add("train", worker_command("train", name="train", concurrency=1))
        if self.flower:
            self._add_flower()

    def _add_flower(self) -> None:
        port = FLOWER_PORT if port_is_free(FLOWER_PORT) else free_port()
        self.credentials = find_credentials(self.settings, self.folder)
        self.flower_url = f"http://127.0.0.1:{port}"
        self._add("flower", [sys.executable, "-m", "producer.flower", "--port", str(port)])

    def _add(self, name: str, command: list[str]) -> None:
        self._members.append(ManagedProcess(name, command, self.folder / "logs" / f"{name}.log", self._environment()))

    def _environment(self) -> dict[str, str]:
        assert self.running.redis_url is not None
        environment = {**os.environ, **self.env}
        environment["APPLEJACK_REDIS_URL"] = self.running.redis_url.get_secret_value()
        environment["APPLEJACK_DIR"] = str(self.folder)
        return environment

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Until every worker answers; StoreError, with the end of its log, when one ends or the time is over."""
        waiting = {f"{member.name}@{socket.gethostname()}" for member in self._members if member.name != "flower"}
        deadline = time.monotonic() + seconds
        with make_app(self.running) as app:
            while waiting:
                waiting -= answering(app, sorted(waiting))
                for death in self.check():
                    raise StoreError(str(death))
                if waiting and time.monotonic() > deadline:
                    raise StoreError(
                        f"no answer from {sorted(waiting)} within {seconds:.0f} s; see {self.folder / 'logs'}"
                    )

    def check(self) -> list[ProcessExit]:
        """Start again what died, after a pause that doubles; the deaths noticed now. Call it about once a second."""
        if self.server is not None:
            self.server.revive()
        now = time.monotonic()
        return [death for member in self._members if (death := member.restart_if_dead(now))]

    def stop(self) -> None:
        """SIGTERM to all, WARM_SECONDS for all together, then SIGKILL; the server last. Nothing is left running."""
        try:
            for member in self._members:
                member.child.ask_to_end()
            deadline = time.monotonic() + WARM_SECONDS
            for member in self._members:
                member.child.stop(max(0.0, deadline - time.monotonic()))
        finally:  # a second Ctrl-C ends the patience
            for member in self._members:
                member.child.kill()
            self._members.clear()
            if self.server is not None:
                self.server.stop()
                self.server = None
            if self._lock is not None:
                self._lock.close()


def answering(app: Celery, names: list[str]) -> set[str]:
    """Which of these workers answer within half a second."""
    try:
        return {name for answer in app.control.ping(destination=names, timeout=0.5) for name in answer}
    except (OperationalError, redis.RedisError):  # a pooled connection from before the server was started again
        return set()


def port_is_free(port: int) -> bool:
    """Whether 127.0.0.1 gives us this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run_up(stack: Stack, *, ready: Callable[[Stack], None], tell: Callable[[str], None]) -> None:
    """Run the stack in the foreground until Ctrl-C, SIGTERM or a closed terminal, then end all of it.

    `ready` is called once when every worker answers, `tell` with each death of a child and with the end.
    """
    ways = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {way: signal.signal(way, signal.default_int_handler) for way in ways}
    try:
        with stack:
            try:
                stack.wait_ready()
                ready(stack)
                while True:
                    for death in stack.check():
                        tell(str(death))
                    time.sleep(TEND_SECONDS)
            except KeyboardInterrupt:
                with suppress(OSError):  # the terminal may be closed
                    tell("stopping; queued work is kept")  # before the wait for what workers are at
                raise
    except KeyboardInterrupt:
        return
    finally:
        for way, handler in before.items():
            signal.signal(way, handler)
