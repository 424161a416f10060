"""Runs a user's trainer and yields its progress reports. The trainer ends with the generator.

The reports are appended to a file, not to a file descriptor: launchers such as accelerate and torchrun close inherited
descriptors in the processes that they start. Nor to stdout, where training libraries print tables and progress bars.
"""

import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from config import logs
from config.environment import outside_environment
from config.errors import TrainingError
from config.process import describe_exit, start_child
from config.records import TrainProgress
from config.trainer_command import Command

POLL_SECONDS = 0.2  # between reads of the progress file and checks for cancellation
SHOWN = 120  # characters of a progress line in the log
FIELDS = frozenset(TrainProgress.model_fields)

log = logs.get(__name__)


def command_reports(
    command: Command,
    *,
    cwd: Path,
    log_file: Path,
    progress: Path,
    iterations: int,
    cancelled: Callable[[], bool],
    keep: Sequence[int] = (),
) -> Generator[TrainProgress]:
    """Run the trainer in `cwd` and yield the reports that it appends to `progress`.

    `iterations` is the total of a report that names none. stdout and stderr go to `log_file`. The trainer inherits the
    file descriptors in `keep`. Its session is killed when the generator closes or this process dies.
    Raises TrainingError if `cancelled` returns true, or the program is missing or fails.
    """
    require_program(command[0], cwd)
    lines = _Tail(progress)
    child = start_child("trainer", command, log=log_file, env=trainer_environment(), cwd=cwd, keep=keep, grace=0)
    try:
        while (code := child.exit_code) is None:
            yield from read_reports(lines.new(), iterations)
            if cancelled():
                raise TrainingError("training was cancelled")
            time.sleep(POLL_SECONDS)
        yield from read_reports(lines.new(), iterations)
    finally:
        child.kill()
    if code:
        error = child.last_error() or "its log is empty"
        raise TrainingError(f"the trainer {command[0]!r} ended with {describe_exit(code)}: {error}")


def require_program(program: str, cwd: Path) -> None:
    """TrainingError if the program is not there; its own message would not say where it was looked for."""
    found = (cwd / program).is_file() if "/" in program else shutil.which(program)
    if not found:
        where = repr(str(cwd)) if "/" in program else "the PATH of this worker"
        raise TrainingError(f"the trainer's program {program!r} is not in {where}: install it, or name its full path")


def trainer_environment() -> dict[str, str]:
    """This process's environment without applejack's settings: the passwords of Redis and the endpoint are not his."""
    return {**outside_environment(hub=True), "PYTHONUNBUFFERED": "1"}  # so that the log is complete after a kill


def read_reports(lines: Sequence[str], iterations: int) -> Iterator[TrainProgress]:
    """The reports in whole lines. A line that is not a report is logged and left out: it must not end a training."""
    for line in lines:
        try:
            body = json.loads(line)
            known = {key: value for key, value in body.items() if key in FIELDS}
            report = TrainProgress.model_validate({"iterations": iterations, **known})
        except (ValueError, AttributeError, ValidationError) as error:
            log.warning("train.report_ignored", line=line[:SHOWN], reason=" ".join(str(error).split())[:SHOWN])
            continue
        yield report


@dataclass
class _Tail:
    """Reads a file that another process appends to."""

    file: Path
    _at: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._at = self.file.stat().st_size if self.file.exists() else 0

    def new(self) -> list[str]:
        """The lines that were completed since the last call."""
        try:
            with self.file.open("rb") as content:
                content.seek(self._at)
                whole, _, _ = content.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._at += len(whole) + 1 if whole else 0
        return [line for line in whole.decode(errors="replace").splitlines() if line.strip()]
