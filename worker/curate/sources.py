"""Reads the input of curation, trajectories and seed records in any mix, one line at a time."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from config.errors import UsageError
from config.records import JsonObject, Trajectory
from worker.curate import seed
from worker.curate.foreign import as_recorded
from worker.curate.jsonlines import MAX_LINE, first_error, numbered_lines, parse_object

SHOWN = 60  # characters of a system prompt in an error message
LATER = re.compile(rb'"attempt"\s*:\s*(?!1\b)\d')  # a line that may hold an attempt after the first


@dataclass(frozen=True)
class Sourced:
    """One input line: a trajectory, or the reason why it is not one."""

    file: Path
    line: int
    """counted from 1, blank lines included"""
    trajectory: Trajectory | None = None
    problem: str | None = None

    @property
    def where(self) -> str:
        """FILE:LINE, the form that editors understand."""
        return f"{self.file}:{self.line}"


def read(paths: Sequence[Path]) -> Iterator[Sourced]:
    """Yield every non-blank line of the files in order; a broken line is yielded with its problem.

    Of a job that ran again, as an archive holds it, only the last attempt is yielded. Raises UsageError before the
    first line if a path is not a readable file.
    """
    for path in paths:
        _require_file(path)
    last = last_attempts(paths)
    return (sourced for path in paths for sourced in _read_file(path) if not is_superseded(sourced.trajectory, last))


def last_attempts(paths: Sequence[Path]) -> dict[tuple[str, str], int]:
    """The number of the last attempt by (run_id, job_id), of jobs that ran again."""
    last: dict[tuple[str, str], int] = {}
    for path in paths:
        with path.open("rb") as file:
            for _, line in numbered_lines(file):
                if LATER.search(line) and (found := _attempt(line)):
                    job, attempt = found
                    last[job] = max(attempt, last.get(job, 1))
    return last


def _attempt(line: bytes) -> tuple[tuple[str, str], int] | None:
    """(run_id, job_id) and attempt of a line that is a trajectory after the first attempt."""
    try:
        match parse_object(line):
            case {"run_id": str(run_id), "job_id": str(job_id), "attempt": int(attempt)} if attempt > 1:
                return (run_id, job_id), attempt
    except ValueError:
        pass
    return None


def is_superseded(trajectory: Trajectory | None, last: dict[tuple[str, str], int]) -> bool:
    """Whether a later attempt of the job is among `last_attempts`."""
    return trajectory is not None and trajectory.attempt < last.get((trajectory.run_id, trajectory.job_id), 1)


def require_trajectory(paths: Sequence[Path]) -> None:
    """Raise UsageError with the first problem if no line is a trajectory. Stops reading at the first trajectory."""
    for path in paths:
        _require_file(path)
    problem = ""
    for sourced in (sourced for path in paths for sourced in _read_file(path)):
        if sourced.trajectory is not None:
            return
        problem = problem or f": {sourced.where}: {sourced.problem}"
    names = ", ".join(repr(str(path)) for path in paths)
    raise UsageError(f"found no trajectory and no seed record in {names}{problem}")


def _require_file(path: Path) -> None:
    if not path.is_file():
        problem = "is a directory; pass the .jsonl files in it" if path.is_dir() else "does not exist"
        raise UsageError(f"{str(path)!r} {problem}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}") from error


def _read_file(path: Path) -> Iterator[Sourced]:
    with path.open("rb") as file:
        for number, line in numbered_lines(file):
            try:
                trajectory = _trajectory(parse_object(line), path=path, number=number)
            except ValueError as error:
                yield Sourced(path, number, problem=_problem(error, torn=_is_torn(file, line)))
            else:
                yield Sourced(path, number, trajectory)


def _trajectory(record: JsonObject, *, path: Path, number: int) -> Trajectory:
    if seed.looks_like_seed(record):
        return seed.to_trajectory(record, run_id=path.stem, number=number)
    if "outcome" not in record:
        raise ValueError("neither a trajectory (no 'outcome') nor a seed record (no 'query')")
    return Trajectory.model_validate(as_recorded(_lift_system(record)))


def _lift_system(record: JsonObject) -> JsonObject:
    """Move a leading system message to `system_prompt`. Raises ValueError if that is another one, or for a second."""
    messages = record.get("messages")
    if not isinstance(messages, list):
        return record
    places = [i for i, message in enumerate(messages) if isinstance(message, dict) and message.get("role") == "system"]
    if not places:
        return record
    if places != [0]:
        raise ValueError(f"messages[{places[-1]}] is a system message; a conversation has one, at its beginning")
    content, recorded = messages[0].get("content"), record.get("system_prompt")  # type: ignore[union-attr]
    if recorded and content != recorded:
        raise ValueError(f"two system prompts: {str(recorded)[:SHOWN]!r} and, in messages[0], {str(content)[:SHOWN]!r}")
    return record | {"system_prompt": content, "messages": messages[1:]}


def _problem(error: ValueError, *, torn: bool) -> str:
    text = first_error(error) if isinstance(error, ValidationError) else str(error)
    return f"torn last line: {text}" if torn else text


def _is_torn(file: BinaryIO, line: bytes) -> bool:
    """True if the line just read is the last one and has no newline: its writer was interrupted."""
    if file.read(1):
        file.seek(-1, 1)
        return False
    file.seek(-1, 2)
    return file.read(1) != b"\n" and len(line) <= MAX_LINE
