"""Runs the training child and yields its progress reports. The child ends with the generator."""

import os
import select
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.errors import TrainingError
from config.process import start_child

CHILD_MODULE = "worker.train.child"
POLL_SECONDS = 0.2  # between checks for cancellation
READ_BYTES = 65536
LOG_LINES = 40  # of the child's log, for the cause of its end


@dataclass(frozen=True)
class Ending:
    """How the child ended."""

    code: int
    """exit code, 128 + n for signal n"""
    log: str
    """its last lines"""
    last_error: str


def reports(
    config: Path,
    *,
    environment: dict[str, str],
    log_file: Path,
    cancelled: Callable[[], bool],
    explain: Callable[[Ending], TrainingError],
    keep: Sequence[int] = (),
) -> Generator[str]:
    """Run the child with `config`, yield each line of progress.

    Its stdout and stderr go to `log_file`. It inherits the file descriptors in `keep`. Its session is killed when the
    generator closes or this process dies.
    Raises TrainingError if `cancelled` returns true, and `explain`'s if the child fails.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as progress:
        command = [sys.executable, "-m", CHILD_MODULE, str(config), str(write_end)]
        try:
            child = start_child("training", command, log=log_file, env=environment, keep=[write_end, *keep], grace=0)
        finally:
            os.close(write_end)  # so that the pipe closes when the child exits
        try:
            yield from _lines(progress.fileno(), cancelled)
            code = child.wait()
        finally:
            child.kill()
    if code:
        raise explain(Ending(code, child.log_tail(LOG_LINES), child.last_error()))


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
