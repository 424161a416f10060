"""Starts Celery workers as forks of a process that has imported the libraries, which takes a fifth of the CPU time.

A fork imports applejack's own modules itself, under its own environment. It gets the watchdog, session, log and signals
that start_child gives. Benchmarks, `applejack up` and `worker` start new interpreters, in tests too.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import cast

from config import watchdog
from config.process import ORPHAN_GRACE, ChildProcess, start_child

FORKS = sys.platform == "linux"  # macOS ends a forked process that uses some of its own frameworks
LIBRARIES = (
    "celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.worker.consumer",
    "celery.concurrency.thread", "kombu.transport.redis", "openai.types.chat", "pydantic_settings", "pydantic_ai",
    "pydantic_ai.models.openai", "pydantic_ai.providers.openai", "structlog", "psutil", "httpx",
)  # fmt: skip
server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(list(LIBRARIES))


@dataclass(frozen=True)
class ForkedWatchdog:
    """What ChildProcess uses of the subprocess.Popen of a watchdog."""

    process: ForkServerProcess
    stdin: Connection
    """the lifeline: the watchdog ends its command when this is closed"""

    @property
    def pid(self) -> int:
        return cast(int, self.process.pid)

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True)
class ForkedCommand:
    """What the watchdog uses of the subprocess.Popen of a command."""

    pid: int

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start_fork(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = ORPHAN_GRACE,
) -> ChildProcess:
    """As start_child, for a command `python -m MODULE [ARGUMENT...]`."""
    if not FORKS:
        return start_child(name, command, log=log, env=env, cwd=cwd, grace=grace)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    start = log.stat().st_size
    lifeline, held = server.Pipe(duplex=False)
    module, environment = list(command[2:]), dict(os.environ if env is None else env)
    arguments = (module, environment, cwd or Path.cwd(), log.absolute(), lifeline, grace)
    process = server.Process(target=_watch, args=arguments, name=name)
    process.start()
    lifeline.close()
    return ChildProcess(name, log, cast("subprocess.Popen[bytes]", ForkedWatchdog(process, held)), start)


def _watch(module: list[str], env: dict[str, str], cwd: Path, log: Path, lifeline: Connection, grace: float) -> None:
    os.setsid()
    os.dup2(lifeline.fileno(), 0)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if command := os.fork():
        subprocess.Popen = lambda *_, **__: ForkedCommand(command)  # type: ignore[assignment, misc]
        sys.exit(watchdog.watch(module, grace))
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:0] = [str(cwd), *env.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = module
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)
