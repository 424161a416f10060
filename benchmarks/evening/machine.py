"""The machine of one evening: its commands, its processes, and the samples of its model processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from config.process import ChildProcess, start_child
from config.records import JsonObject
from worker.doctor.host_checks import SERVING, TRAINING, Process, of_kind

T = TypeVar("T")
TEACHER, STUDENT = "local/teacher-135m", "local/student-135m"
RUN = "evening"
SAMPLE_SECONDS = 0.1
PATIENCE = 1500.0  # seconds for one step on two busy cores


@dataclass
class Evening:
    """The machine of one evening: its directory, its environment, and what was seen."""

    folder: Path
    hub: str
    killed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    together: int = 0
    """samples with two or more model processes"""
    samples: int = 0

    @property
    def data(self) -> Path:
        """The directory of runs and of the stack."""
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        """What every command gets; no model of this user is seen."""
        own = {
            "APPLEJACK_DIR": str(self.data),
            "APPLEJACK_LOCK_DIR": str(self.folder / "locks"),
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.hub,
            "APPLEJACK_LEASE_SECONDS": "6",
        }
        return {**os.environ, **own}

    def command(self, *words: str) -> list[str]:
        """An applejack command line."""
        return [str(Path(sys.executable).with_name("applejack")), *words]

    def run(self, *words: str) -> JsonObject:
        """Run a command to its end; its JSON. AssertionError with its output if it fails."""
        started = time.monotonic()
        done = self._ended(*words)
        assert done.returncode == 0, f"applejack {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}"
        say(f"applejack {words[0]}: {time.monotonic() - started:.1f} s")
        result: JsonObject = json.loads(done.stdout.splitlines()[-1])
        return result

    def _ended(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words, "--json"),
            check=False,
            env=self.environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
        )

    def status(self) -> JsonObject:
        """The run's status now; {} while the ledger does not answer."""
        done = self._ended("status", RUN)
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}

    def processes(self) -> list[psutil.Process]:
        """The processes of this evening."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get("APPLEJACK_DIR") == str(self.data):
                    found.append(process)
        return found

    def named(self, words: frozenset[str]) -> list[psutil.Process]:
        """The running processes with such a command line, without those that only started one."""
        known: dict[int, psutil.Process] = {}
        seen: list[Process] = []
        for process in self.processes():
            with suppress(psutil.Error, OSError):
                seen.append(Process(process.pid, process.ppid(), tuple(process.cmdline())))
                known[process.pid] = process
        return [known[process.pid] for process in of_kind(seen, words)]

    def kill(self, what: str, words: frozenset[str]) -> None:
        """SIGKILL the newest such process."""
        victims = wait(lambda: self.named(words), what)
        victim = max(victims, key=lambda process: process.create_time())
        victim.send_signal(signal.SIGKILL)
        self.killed.append(what)
        say(f"killed {what} (process {victim.pid})")

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Count model processes during the block."""
        over = threading.Event()

        def sample() -> None:
            while not over.wait(SAMPLE_SECONDS):
                running = [process for process in self.named(SERVING | TRAINING) if alive(process)]
                self.samples += 1
                self.together += len(running) > 1

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def stack(self) -> Iterator[ChildProcess]:
        """`applejack up --serve TEACHER` during the block."""
        command = self.command("up", "--serve", TEACHER, "--workers", "2", "--concurrency", "4", "--no-flower")
        child = start_child("up", command, log=self.folder / "up.log", env=self.environment, cwd=self.folder, grace=5)
        try:
            yield child
        finally:
            child.stop(30)


def wait(look: Callable[[], T], what: str, *, seconds: float = PATIENCE) -> T:
    """The first true result of `look`; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
    return seen


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def say(line: str) -> None:
    """Progress for people."""
    print(line, file=sys.stderr, flush=True)
