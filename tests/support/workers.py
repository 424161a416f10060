"""Real worker processes for tests: started, killed, suspended and stopped like a machine of the fleet."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from pydantic import SecretStr

from config.process import ChildProcess, start_child

ROOT = Path(__file__).resolve().parents[2]
SCRIPTED_MODEL = str(ROOT / "tests/data/scripted_model")  # served by tests/support/planted/scripted_server.py
START_SECONDS = 60.0  # a worker that imports its whole world on two busy cores


@dataclass(frozen=True)
class WorkerProcess:
    """A Celery worker in a session of its own."""

    name: str
    url: SecretStr
    child: ChildProcess

    def kill(self) -> None:
        """SIGKILL, the way a machine dies: worker and pool at once, nothing cleaned up."""
        self.child.send(signal.SIGKILL)
        self.child.process.wait(10)

    def suspend(self) -> None:
        """SIGSTOP: a Mac that sleeps."""
        self.child.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it wakes."""
        self.child.send(signal.SIGCONT)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, a warm shutdown; the exit code."""
        return self.child.stop(seconds)

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Until it answers a ping; AssertionError with the end of its log when it does not."""
        deadline = time.monotonic() + seconds
        with Celery(broker=self.url.get_secret_value(), set_as_current=False) as app:
            while not app.control.ping(destination=[self.name], timeout=0.3):
                died = self.child.exit_code
                assert died is None, f"{self.name} ended with {died}:\n{self.child.log_tail(30)}"
                assert time.monotonic() < deadline, f"{self.name} does not answer:\n{self.child.log_tail(30)}"


def start_worker_process(
    queues: str,
    name: str,
    *,
    url: SecretStr,
    folder: Path,
    env: Mapping[str, str] | None = None,
    app: str = "worker.app",
    pool: str = "threads",
    concurrency: int = 2,
    wait: bool = True,
) -> WorkerProcess:
    """Start `celery -A app worker` for the queues (comma separated); its node is NAME@test, its log folder/NAME.log."""
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-Q", queues, "-n", f"{name}@test"]
    command += ["-P", pool, "-c", str(concurrency), "-E", "--loglevel", "INFO"]
    command += ["--without-mingle", "--without-gossip"]  # as worker_command in producer/stack/local_stack.py
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "APPLEJACK_REDIS_URL": url.get_secret_value(),
        "APPLEJACK_DIR": str(folder),
        "APPLEJACK_WORKSPACE_ROOTS": "/",
        "APPLEJACK_COMMANDS": "*",
        **(env or {}),
    }
    log = folder / f"{name}.log"
    worker = WorkerProcess(f"{name}@test", url, start_child(name, command, log=log, env=environment, cwd=folder))
    if wait:
        worker.wait_ready()
    return worker
