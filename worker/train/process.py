"""The training child, watched from start to end: its reports one by one, and nothing of it outlives the loop."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from config.errors import TrainingError

CHILD_MODULE = "worker.train.child"
POLL_SECONDS = 0.2  # how soon a cancelled training ends
READ_BYTES = 65536
QUOTED_LINES = 3
QUOTED_CHARACTERS = 500


def reports(
    config: Path,
    *,
    environment: dict[str, str],
    log_file: Path,
    cancelled: Callable[[], bool],
) -> Generator[str]:
    """Run the child on `config` and yield each line of progress it writes.

    What it says on stdout and stderr goes to `log_file`. It has its own session, killed whole when this generator ends,
    however it ends; should this process be killed, the child's stdin closes and it ends itself. Raises TrainingError
    when `cancelled` turns true or the child fails.
    """
    read_end, write_end = os.pipe()
    with log_file.open("ab") as told, os.fdopen(read_end, "rb", buffering=0) as progress:
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", CHILD_MODULE, str(config), str(write_end)],
                stdin=subprocess.PIPE,
                stdout=told,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(write_end,),
                start_new_session=True,
            )
        finally:
            os.close(write_end)  # or the pipe would never end
        with child:
            try:
                yield from _lines(progress.fileno(), cancelled)
                child.wait()
            finally:
                _kill(child)
    if child.returncode:
        raise TrainingError(f"training ended with {_ending(child.returncode)}: {log_tail(log_file)} (log: {log_file})")


def _lines(descriptor: int, cancelled: Callable[[], bool]) -> Iterator[str]:
    pending = b""
    while True:
        if cancelled():
            raise TrainingError("training was cancelled")
        if not select.select([descriptor], [], [], POLL_SECONDS)[0]:
            continue
        chunk = os.read(descriptor, READ_BYTES)
        if not chunk:
            return
        *whole, pending = (pending + chunk).split(b"\n")
        yield from (line.decode() for line in whole if line.strip())


def _kill(child: subprocess.Popen[bytes]) -> None:
    """The whole group, compilers of mlx included. macOS says EPERM of a group of zombies."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "SIGKILL, as the system does when memory runs out"
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def log_tail(log_file: Path) -> str:
    """The last lines of a log in one, short enough for a message."""
    text = log_file.read_bytes().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error: " in line or "Exception: " in line]  # the line that ends a traceback
    return " | ".join(errors[-1:] or lines[-QUOTED_LINES:])[-QUOTED_CHARACTERS:] or "it said nothing"
