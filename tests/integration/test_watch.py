"""`applejack status --watch` on a terminal of its own, and in a pipe."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import Prompt, Spec, Trajectory

WATCH = [sys.executable, "-P", "-c", "from producer.cli import main; main()", "status", "r", "--watch"]
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"  # the terminal's second screen, so that the first is as it was afterwards
HOME, CLEAR = "\x1b[H", "\x1b[2J"
SHOW_CURSOR = "\x1b[?25h"
WORKER = "generate-mac-studio-of-anna@studio-anna.local"
SECONDS = 30.0  # starting Python on a busy machine


class Terminal:
    """A pseudo terminal with a program in it; everything that the program writes is kept."""

    def __init__(self, command: list[str], folder: Path, columns: int, rows: int, env: dict[str, str]) -> None:
        self.fd, inner = pty.openpty()
        self.resize(columns, rows)
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C reaches it; no threads
            env={**kept, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **env},
        )
        os.close(inner)
        self.written = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def until(self, seen: Callable[[str], bool]) -> str:
        """Read until what was written fulfils `seen`; returns all of it."""
        deadline = time.monotonic() + SECONDS
        while not seen(self.written):
            assert time.monotonic() < deadline, self.written[-3000:]
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.written += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # the program has ended
                    assert seen(self.written), self.written[-3000:]
        return self.written

    def frame(self) -> list[str]:
        """The lines of the newest complete repaint, without styles."""
        frames = self.written.split(HOME)
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frames[-2] if len(frames) > 2 else frames[-1])
        return [line.rstrip() for line in text.replace("\r", "").split("\n")]

    def shows(self, text: str) -> None:
        """Wait until the newest repaint has a text, which may be wrapped."""
        self.until(lambda _: text in " ".join(" ".join(self.frame()).split()))


@contextmanager
def terminal(command: list[str], folder: Path, *, columns: int, rows: int, env: dict[str, str]) -> Iterator[Terminal]:
    """A program in a terminal of its own; it is ended at the end."""
    made = Terminal(command, folder, columns, rows, env)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait(timeout=10)
        os.close(made.fd)


@pytest.fixture
def run(ledger: Ledger) -> Ledger:
    """A run with one of three jobs done, and a worker that sends heartbeats."""
    ids = ledger.create(Spec(run_id="r", train=False), [Prompt(prompt=f"q{number}") for number in range(3)]).job_ids
    ledger.jobs.begin("r", ids[0], worker=WORKER, lease_seconds=99, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id="r", job_id=ids[0], prompt="q0", outcome="completed"), worker=WORKER)
    ledger.fleet.heartbeat(WORKER, {"queues": ["generate"], "holds": 1, "limit": 4, "version": "1"})
    return ledger


def test_a_watched_run_is_repainted_in_place_also_after_a_resize(
    run: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    env = {"APPLEJACK_REDIS_URL": redis_url.get_secret_value()}
    with terminal(WATCH, tmp_path, columns=60, rows=24, env=env) as watched:
        watched.shows("r is generating: 1 of 3 jobs done")
        assert max(map(len, watched.frame())) <= 60
        assert WORKER in watched.frame()  # below it, its state
        run.controls.pause("r")
        watched.shows("r is paused by a person: 1 of 3 jobs done. Nothing starts until it is resumed.")
        watched.shows("let it go on: `applejack resume r`")
        run.controls.resume(run.run("r").spec)
        watched.shows("r is generating")
        watched.resize(110, 30)
        watched.until(lambda _: any(line.startswith("worker  ") for line in watched.frame()))
        assert max(map(len, watched.frame())) <= 110
        assert any(re.match(rf"{WORKER} +consuming +generate +1/4 +1 +0", line) for line in watched.frame())
        assert "next" in watched.frame()

        watched.press("\x03")
        written = watched.until(lambda text: "follows it again" in text)
        assert watched.process.wait(timeout=SECONDS) == 130
        before, after = written.split(LEAVE)
        assert before.count(ENTER) == 1
        assert CLEAR not in before.split(HOME, 2)[-1]  # frames are written over each other: no flicker
        assert SHOW_CURSOR in written[written.rindex("\x1b[?25l") :]
        assert "r is generating: 1 of 3 jobs done" in after  # the last view stays
        assert "the run goes on; `applejack status r --watch` follows it again" in " ".join(after.split())
    assert run.run("r").control == ""  # Ctrl-C has not changed the run


def test_a_watched_run_that_is_cancelled_leaves_the_whole_view_and_code_1(
    run: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    env = {"APPLEJACK_REDIS_URL": redis_url.get_secret_value()}
    with terminal(WATCH, tmp_path, columns=60, rows=12, env=env) as watched:
        watched.shows("r is generating: 1 of 3 jobs done")
        run.controls.cancel("r")
        written = watched.until(lambda text: "applejack archive r" in text)
        assert watched.process.wait(timeout=SECONDS) == 1
    after = " ".join(written.split(LEAVE)[-1].split())
    assert "r is cancelled: 1 of 3 jobs generated, 2 cancelled." in after
    assert "run its 2 cancelled jobs and go on: `applejack resume r`" in after


def test_a_terminated_view_restores_the_terminal(run: Ledger, redis_url: SecretStr, tmp_path: Path) -> None:
    env = {"APPLEJACK_REDIS_URL": redis_url.get_secret_value()}
    with terminal(WATCH, tmp_path, columns=60, rows=12, env=env) as watched:
        watched.shows("r is generating: 1 of 3 jobs done")
        watched.process.terminate()
        written = watched.until(lambda text: LEAVE in text)
        assert watched.process.wait(timeout=SECONDS) == 128 + signal.SIGTERM
    assert SHOW_CURSOR in written[written.rindex("\x1b[?25l") :]


def test_a_pipe_gets_a_line_per_change_until_the_run_is_cancelled(
    run: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    env = {**os.environ, "APPLEJACK_REDIS_URL": redis_url.get_secret_value(), "TERM": "xterm-256color"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(WATCH, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as piped:
        assert piped.stdout is not None
        guard = threading.Timer(SECONDS, piped.kill)
        guard.start()
        first = piped.stdout.readline()
        run.controls.pause("r")
        second = piped.stdout.readline()
        run.controls.cancel("r")
        rest = piped.stdout.read()
        code = piped.wait(timeout=SECONDS)
        guard.cancel()
    assert re.match(r"r is generating: 1 of 3 jobs done.*; jobs: 2 queued, 1 generated\n$", first)
    assert second.startswith("r is paused by a person: 1 of 3 jobs done.")
    assert second.endswith("; `applejack resume r`\n")
    lines = rest.splitlines()
    assert lines[0].startswith("r is cancelled: 1 of 3 jobs generated, 2 cancelled; jobs: ")
    assert lines[1] == "r is cancelled: 1 of 3 jobs generated, 2 cancelled."  # then the whole view
    assert (code, piped.returncode) == (1, 1)
    assert "\x1b" not in first + second + rest


def test_ctrl_c_in_a_pipe_ends_the_view_only(run: Ledger, redis_url: SecretStr, tmp_path: Path) -> None:
    env = {**os.environ, "APPLEJACK_REDIS_URL": redis_url.get_secret_value()}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [*WATCH, "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as piped:
        assert piped.stderr is not None
        assert piped.stderr.readline().startswith("r is generating")
        piped.send_signal(signal.SIGINT)
        out, err = piped.communicate(timeout=SECONDS)
    assert piped.returncode == 130
    assert err == "the run goes on; `applejack status r --watch` follows it again\n"
    assert out == '{"error": "the run goes on; `applejack status r --watch` follows it again", "exit_code": 130}\n'
    assert run.run("r").control == ""
