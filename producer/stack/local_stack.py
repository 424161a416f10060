"""The local stack of `applejack up` and `applejack demo`: Redis server, workers and Flower as child processes."""

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
from config.ledger import Ledger
from config.private_files import restrict
from config.process import free_port, port_is_free
from config.settings import Settings
from config.topology import QUEUE_CURATE, QUEUE_GENERATE, QUEUE_TRAIN
from producer.stack.flower_credentials import Credentials, find_credentials
from producer.stack.managed_process import ManagedProcess, ProcessExit
from producer.stack.owner_settings import owner_settings
from producer.stack.redis_server import Server, ping, take_lock, without_password

Role = Literal["generate", "curate", "train"]
QUEUE_OF: dict[Role, str] = {"generate": QUEUE_GENERATE, "curate": QUEUE_CURATE, "train": QUEUE_TRAIN}

FLOWER_PORT = 5555  # Flower's default; if it is in use, a free port is chosen
READY_SECONDS = 60.0  # for workers that import their libraries on two busy cores
WARM_SECONDS = 10.0  # for workers to finish their jobs; leases of unfinished jobs expire
TEND_SECONDS = 1.0


def worker_command(role: Role, *, name: str, concurrency: int, loglevel: str = "WARNING") -> list[str]:
    """Build the command that starts a worker for a stage's queue; its Celery node is NAME@HOST.

    It uses the thread pool: a busy worker still answers, and prefork crashes on Apple Silicon. Heavy work runs in child
    processes anyway.
    """
    return [
        *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app"),  # without Celery's banner: logs are JSON
        *("worker", "-Q", QUEUE_OF[role], "-n", f"{name}@%h"),
        *("-P", "threads", "-c", str(concurrency), "-E", "--loglevel", loglevel),
        *("--without-mingle", "--without-gossip"),  # workers need not know each other; saves a second
    ]


@dataclass
class Stack:
    """Server (unless the settings name one), workers and Flower; a `with` block starts and stops all of them.

    With `settings.serve` the first generate worker runs the model server, and the others use it.
    `env` is added to this process's environment for the children.
    """

    settings: Settings
    generate: int = 2
    concurrency: int = 2
    flower: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.settings.dir.resolve()
        self.flower_url: str | None = None
        self.model_url: str | None = None
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
        """The settings with the url of the stack's server, for make_app and the ledger."""
        return self._running

    def member(self, name: str) -> ManagedProcess:
        """Look up a child by its name: generate1, curate, train, flower."""
        return next(member for member in self._members if member.name == name)

    @property
    def urls(self) -> dict[str, str]:
        """Addresses to show to the user, without passwords."""
        assert self.running.redis_url is not None
        shown = {"redis": without_password(self.running.redis_url)}
        if self.flower_url:
            shown |= {"flower": self.flower_url, "runs": f"{self.flower_url}/runs"}
        if self.model_url:
            shown["model"] = self.model_url
        return shown

    def _start(self) -> None:
        with writing(self.folder):
            (self.folder / "logs").mkdir(parents=True, exist_ok=True)
            restrict(self.settings.own_places)
        url = self.settings.redis_url
        if url is None:
            self.server = Server.start(self.folder)
            url = self.server.url
        else:
            with writing(self.folder):
                self._lock = take_lock(self.folder)
            if not ping(url, seconds=5.0):
                raise StoreError(f"no answer from Redis at {without_password(url)}; check APPLEJACK_REDIS_URL")
        self._running = self.settings.model_copy(update={"redis_url": url, "dir": self.folder})
        serving, using = self._model_server()
        for number in range(1, self.generate + 1):
            name = f"generate{number}"
            command = worker_command("generate", name=name, concurrency=self.concurrency)
            self._add(name, command, serving if number == 1 else using)
        self._add("curate", worker_command("curate", name="curate", concurrency=1))
        self._add("train", worker_command("train", name="train", concurrency=1))
        if self.flower:
            self._add_flower()

    def _model_server(self) -> tuple[dict[str, str], dict[str, str]]:
        """Environment of the worker that runs the model server, and of those that use it."""
        model = self.settings.serve
        if not model:
            return {}, {}
        port = self.settings.serve_port or free_port()
        self.model_url = f"http://127.0.0.1:{port}/v1"
        serving = {"APPLEJACK_SERVE": model, "APPLEJACK_SERVE_PORT": str(port)}
        return serving, {"APPLEJACK_ENDPOINT": self.model_url, "APPLEJACK_ENDPOINT_SERVES": model}

    def _add_flower(self) -> None:
        port = FLOWER_PORT if port_is_free(FLOWER_PORT) else free_port()
        self.credentials = find_credentials(self.settings, self.folder)
        self.flower_url = f"http://127.0.0.1:{port}"
        self._add("flower", [sys.executable, "-m", "producer.flower", "--port", str(port)])

    def _add(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> None:
        environment = {**self._environment(), **(env or {})}
        self._members.append(ManagedProcess(name, command, self.folder / "logs" / f"{name}.log", environment))

    def _environment(self) -> dict[str, str]:
        assert self.running.redis_url is not None
        environment = {**os.environ, **owner_settings(self.settings), **self.env}
        environment.pop("APPLEJACK_SERVE", None)  # one model server a machine, however many workers
        environment["APPLEJACK_REDIS_URL"] = self.running.redis_url.get_secret_value()
        environment["APPLEJACK_DIR"] = str(self.folder)
        environment["APPLEJACK_TRAINER_DIR"] = str(self.settings.trainer_dir.resolve())
        return environment

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every worker answers.

        Raises StoreError if a worker exits (with the end of its log) or after `seconds`.
        """
        waiting = {f"{member.name}@{socket.gethostname()}" for member in self._members if member.name != "flower"}
        deadline = time.monotonic() + seconds
        with make_app(self.running) as app:
            while waiting:
                waiting -= answering(app, sorted(waiting))
                for process_exit in self.check():
                    raise StoreError(str(process_exit))
                if waiting and time.monotonic() > deadline:
                    raise StoreError(
                        f"no answer from {sorted(waiting)} within {seconds:.0f} s; see {self.folder / 'logs'}"
                    )

    def check(self) -> list[ProcessExit]:
        """Restart dead children, with exponential backoff, and return new exits. Call it about once a second."""
        if self.server is not None:
            self.server.revive()
        now = time.monotonic()
        return [exited for member in self._members if (exited := member.restart_if_dead(now))]

    def stop(self) -> None:
        """Send SIGTERM to all children, and SIGKILL after WARM_SECONDS; then stop the server."""
        try:
            for member in self._members:
                member.child.ask_to_end()
            deadline = time.monotonic() + WARM_SECONDS
            for member in self._members:
                member.child.stop(max(0.0, deadline - time.monotonic()))
        finally:  # also after a second Ctrl-C, which interrupts the wait
            for member in self._members:
                member.child.kill()
            self._remove_from_ledger()
            self._members.clear()
            if self.server is not None:
                self.server.stop()
                self.server = None
            if self._lock is not None:
                self._lock.close()

    def _remove_from_ledger(self) -> None:
        """Remove workers that were killed while they worked; `status` would show them as alive for a while."""
        url = self.server.url if self.server else self.settings.redis_url
        if url is None or not self._members:
            return
        with suppress(StoreError):
            fleet = Ledger.connect(url.get_secret_value()).fleet
            for member in self._members:
                fleet.leave(f"{member.name}@{socket.gethostname()}")


def answering(app: Celery, names: list[str]) -> set[str]:
    """The workers among `names` that answer within half a second."""
    try:
        return {name for reply in app.control.ping(destination=names, timeout=0.5) for name in reply}
    except (OperationalError, redis.RedisError):  # a pooled connection from before a restart of the server
        return set()


def run_up(stack: Stack, *, ready: Callable[[Stack], None], tell: Callable[[str], None]) -> None:
    """Run the stack in the foreground until Ctrl-C, SIGTERM or a closed terminal, then stop it.

    `ready` is called once when every worker answers. `tell` prints a line: about each exit of a child, and at the end.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        with stack:
            try:
                stack.wait_ready()
                ready(stack)
                while True:
                    for process_exit in stack.check():
                        tell(str(process_exit))
                    time.sleep(TEND_SECONDS)
            except KeyboardInterrupt:
                with suppress(OSError):  # the terminal may be closed
                    tell("stopping; queued work is kept")  # printed before workers finish, which takes a while
                raise
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
