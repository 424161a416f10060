"""Runs the mlx_lm server as a child process that is ready on entry and stopped on exit.

with ModelServer(Path("student"), adapter=Path("adapter"), log=Path("server.log")) as server:
    ask(server.url)

The file is long because starting, asking and ending one process share its state.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import config
from config.endpoint.client import complete, request
from config.environment import outside_environment
from config.errors import EndpointError, FailureKind, ServerKilledError, StoppedError
from config.process import KILLED, ChildProcess, describe_exit, free_port, last_error, start_child
from worker.device.budget import CACHED_CONVERSATIONS, Serving
from worker.endpoint.loaded_weights import LoadedWeights, recorded_loads
from worker.student.cpu_blas.blas import mlx_environment

CHILD = "worker.endpoint.serve_child"
GIB = 2**30
POLL_SECONDS = 0.1
HEALTH_POLL_SECONDS = 1.0  # each request adds a line to the server's log
HEALTH_SECONDS = 10.0  # the busy generation thread slows down the HTTP threads
TERM_SECONDS = 5.0
EXIT_SECONDS = 2.0  # from a broken connection to the exit code, on a busy machine
PORT_TRIES = 3  # another process may take a free port before the child binds it
PORT_TAKEN = "Address already in use"
LOOK_BACK_LINES = 100
DIED = "generation thread died: "
ROOT = Path(config.__file__).parent.parent  # so that the child imports this code in any working directory


@dataclass(frozen=True)
class ServerFlags:
    """Server options other than model and address, with better defaults than mlx_lm's."""

    max_tokens: int = 1024  # for requests without max_tokens; the default of 512 truncates answers
    prompt_cache_size: int = CACHED_CONVERSATIONS
    prompt_cache_bytes: int = 4 * GIB  # the default is unbounded
    decode_concurrency: int = 8
    prompt_concurrency: int = 4
    log_level: str = "INFO"

    @classmethod
    def fitting(cls, budget: Serving, *, max_tokens: int = 1024) -> Self:
        """The options with which a model stays within its budget."""
        return cls(
            max_tokens=max_tokens,
            prompt_cache_bytes=budget.cache_bytes,
            decode_concurrency=budget.decode_concurrency,
            prompt_concurrency=budget.prompts,
        )

    def arguments(self) -> list[str]:
        """Command-line options of mlx_lm's server."""
        return [
            *("--max-tokens", str(self.max_tokens)),
            *("--prompt-cache-size", str(self.prompt_cache_size)),
            *("--prompt-cache-bytes", str(self.prompt_cache_bytes)),
            *("--decode-concurrency", str(self.decode_concurrency)),
            *("--prompt-concurrency", str(self.prompt_concurrency)),
            *("--log-level", self.log_level),
        ]


@dataclass
class ModelServer:
    """One served model. `model` is its directory, `adapter` a directory written by training.

    Entering raises EndpointError if the model cannot be loaded or does not answer within `ready_seconds`, and
    ServerKilledError if the server is killed meanwhile. The message is one line and quotes the server's log. Binds to
    loopback only, because the server has no authentication.
    """

    model: Path
    adapter: Path | None = None
    log: Path = field(kw_only=True)
    host: str = field(default="127.0.0.1", kw_only=True)
    port: int = field(default=0, kw_only=True)  # 0: any free port
    flags: ServerFlags = field(default_factory=ServerFlags, kw_only=True)
    ready_seconds: float = field(default=600.0, kw_only=True)
    keep: Sequence[int] = field(default=(), kw_only=True)
    """file descriptors that the process inherits: its claim on the device"""
    cancelled: Callable[[], bool] = field(default=lambda: False, kw_only=True)
    """ends the start with StoppedError"""
    child: ChildProcess | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Base URL for an OpenAI client."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """True while the process runs, even if it does not answer."""
        return self.child is not None and self.child.exit_code is None

    def ended(self) -> bool:
        """Whether the process has ended by itself. Waits a little: a broken connection is seen before the exit code."""
        if self.child:
            with suppress(subprocess.TimeoutExpired):
                self.child.process.wait(EXIT_SECONDS)
        return not self.alive

    @property
    def ending(self) -> str:
        """How its process has ended, for a message; "" while it runs."""
        code = self.child.exit_code if self.child else None
        return describe_exit(code) if code is not None else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait for its first token. On an error the process is stopped."""
        self._check_paths()
        wanted, deadline = self.port, time.monotonic() + self.ready_seconds
        for attempt in range(PORT_TRIES):
            self.port = wanted or free_port(self.host)
            self._spawn()
            try:
                self._wait_until_ready(deadline)
            except BaseException:
                self.stop()
                if wanted or attempt + 1 == PORT_TRIES or PORT_TAKEN not in self.tail(50):
                    raise
            else:
                break

    def stop(self) -> None:
        """Send SIGTERM, then SIGKILL to the whole group. Does nothing if the process has already exited."""
        if self.child is not None:
            self.child.stop(TERM_SECONDS)

    @property
    def log_size(self) -> int:
        """Size of the log in bytes; it grows while the server works."""
        return self.log.stat().st_size if self.log.exists() else 0

    @property
    def loads(self) -> tuple[LoadedWeights, ...]:
        """Every model and adapter that this start of the server has loaded, as its process recorded it."""
        return recorded_loads(self._loads_file)

    @property
    def _loads_file(self) -> Path:
        return self.log.with_name(f"{self.log.stem}-loads.jsonl")

    def tail(self, lines: int) -> str:
        """The last log lines since this start of the server."""
        return self.child.log_tail(lines) if self.child else ""

    def log_tail(self) -> str:
        """The error in the log, in one line, with the log's path."""
        return f"last log line: {_log_tail(self.tail(LOOK_BACK_LINES))} (log: {str(self.log)!r})"

    def _check_paths(self) -> None:
        if not (self.model / "config.json").is_file():
            raise _not_served(f"{str(self.model)!r} is not a model directory: it has no config.json")
        if self.adapter is not None and not (self.adapter / "adapter_config.json").is_file():
            raise _not_served(f"{str(self.adapter)!r} is not an adapter directory: it has no adapter_config.json")

    def _spawn(self) -> None:
        model = str(self.model.resolve())
        adapter = ["--adapter-path", str(self.adapter.resolve())] if self.adapter else []
        address = ["--host", self.host, "--port", str(self.port)]
        self._loads_file.unlink(missing_ok=True)
        record = ["--record-loads", str(self._loads_file.resolve())]
        # -P: do not import a folder named worker in the current directory
        command = [sys.executable, "-P", "-m", CHILD, *record, "--model", model, *adapter, *address]
        command += self.flags.arguments()
        self.child = start_child(
            "model server", command, log=self.log, env=self._environment(), keep=self.keep, grace=0
        )

    def _environment(self) -> dict[str, str]:
        return outside_environment() | mlx_environment() | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def _wait_until_ready(self, deadline: float) -> None:
        """Wait for a token; /health returns 200 long before the model is loaded."""
        while not self._listens():
            self._raise_when_lost(deadline)
            time.sleep(POLL_SECONDS)
        answer = _InBackground(self.url, deadline)
        while not answer.done.wait(HEALTH_POLL_SECONDS):
            self._raise_when_lost(deadline)
            if self._generation_died():
                raise self._lost("cannot load or run the model")
        if answer.error is not None:
            self.ended()  # waits until the exit code of a server that has died is known
        self._raise_when_lost(deadline)  # checked first: another process on this port may have answered
        if answer.error is not None:
            raise self._lost(f"cannot load or run the model ({answer.error})")

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return True
        return False

    def _generation_died(self) -> bool:
        with suppress(EndpointError):
            status, _ = request(f"http://{self.host}:{self.port}/health", timeout=HEALTH_SECONDS)
            return status == HTTPStatus.SERVICE_UNAVAILABLE
        return False

    def _raise_when_lost(self, deadline: float) -> None:
        if self.cancelled():
            raise StoppedError(f"the start of the server of {str(self.model)!r} was stopped")
        code = self.child.exit_code if self.child else None
        if code is not None:
            error = ServerKilledError if code == KILLED else EndpointError
            raise self._lost(f"ended with {describe_exit(code)}", error)
        if time.monotonic() > deadline:
            raise self._lost(f"generated no token within {self.ready_seconds:g} s")

    def _lost(self, problem: str, error: type[EndpointError] = EndpointError) -> EndpointError:
        adapter = f" with adapter {str(self.adapter)!r}" if self.adapter else ""
        return _not_served(f"the server of {str(self.model)!r}{adapter} {problem}; {self.log_tail()}", error)


class _InBackground:
    """Requests one token in a thread, so that the caller can watch the process meanwhile."""

    def __init__(self, url: str, deadline: float) -> None:
        self.error: EndpointError | None = None
        self.done = threading.Event()
        self._url, self._seconds = url, max(1.0, deadline - time.monotonic())
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            complete(self._url, "Hello", max_tokens=1, timeout=self._seconds)
        except EndpointError as error:
            self.error = error
        finally:
            self.done.set()


def _log_tail(log: str) -> str:
    """The generation thread's error, else the last error in the log, else "none"."""
    lines = [line.strip() for line in log.splitlines() if "GET /health" not in line]
    died = [line.partition(DIED)[2] for line in lines if DIED in line]
    return died[-1] if died else last_error(lines) or "none"


def _not_served(message: str, error: type[EndpointError] = EndpointError) -> EndpointError:
    return error(message, kind=FailureKind.ENDPOINT_UNREACHABLE)
