"""Reads what curation judges: trajectory lines and seed records in any mix, one line in memory at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from config.errors import UsageError
from config.records import JsonObject, Trajectory
from worker.curate import seed
from worker.curate.jsonlines import MAX_LINE, first_error, numbered_lines, parse_object


@dataclass(frozen=True)
class Sourced:
    """One line of input: a trajectory, or the problem that kept it from being one."""

    file: Path
    line: int
    """counted from 1, blank lines included"""
    trajectory: Trajectory | None = None
    problem: str | None = None

    @property
    def where(self) -> str:
        """file:line, as editors jump to it."""
        return f"{self.file}:{self.line}"


def read(paths: Sequence[Path]) -> Iterator[Sourced]:
    """Every non-blank line of the files, in their order. A broken line is yielded with its problem and ends nothing.

    Raises UsageError at once, before the first line, when a path is not a readable file.
    """
    for path in paths:
        _require_file(path)
    return (sourced for path in paths for sourced in _read_file(path))


def require_trajectory(paths: Sequence[Path]) -> None:
    """Raises UsageError, with the first problem, when no line of the files is a trajectory; reads up to the first."""
    problem = ""
    for sourced in read(paths):
        if sourced.trajectory is not None:
            return
        problem = problem or f": {sourced.where}: {sourced.problem}"
    names = ", ".join(repr(str(path)) for path in paths)
    raise UsageError(f"no trajectory and no record of the seed generator in {names}{problem}")


def _require_file(path: Path) -> None:
    if not path.is_file():
        what = "is a directory; name the .jsonl files in it" if path.is_dir() else "does not exist"
        raise UsageError(f"{str(path)!r} {what}")
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
        raise ValueError("neither a trajectory (no 'outcome') nor a record of the seed generator (no 'query')")
    return Trajectory.model_validate(_lift_system(record))


def _lift_system(record: JsonObject) -> JsonObject:
    """A system message in front of the messages is the system prompt, where the record has no other."""
    messages = record.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(first, dict) or first.get("role") != "system" or record.get("system_prompt"):
        return record
    assert isinstance(messages, list)
    return record | {"system_prompt": first.get("content"), "messages": messages[1:]}


def _problem(error: ValueError, *, torn: bool) -> str:
    text = first_error(error) if isinstance(error, ValidationError) else str(error)
    return f"torn last line: {text}" if torn else text


def _is_torn(file: BinaryIO, line: bytes) -> bool:
    """True when the line just read is the file's last and has no line ending: its writer was stopped inside it."""
    if file.read(1):
        file.seek(-1, 1)
        return False
    file.seek(-1, 2)
    return file.read(1) != b"\n" and len(line) <= MAX_LINE
