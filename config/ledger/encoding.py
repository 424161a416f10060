"""Encoding of the ledger's values: histories, compressed trajectories, milliseconds."""

import json
import zlib
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from config.errors import NewerRecordError
from config.ledger.store import decode
from config.records import Spec, Trajectory
from config.version import version

R = TypeVar("R", bound=BaseModel)
CHOICES = frozenset({"literal_error", "enum"})

MOST_BYTES = 256 << 20  # of one trajectory


@dataclass(frozen=True)
class Event:
    """One entry in the history of a job or stage."""

    at: float
    """seconds since the epoch, server clock"""
    event: str
    worker: str
    detail: str
    attempt: int


def events(history: object) -> tuple[Event, ...]:
    """Parse a history: the scripts append one JSON object per line; a text in it may hold U+2028."""
    entries = [json.loads(line) for line in decode(history).split("\n") if line]
    return tuple(
        Event(entry["at"] / 1000, entry["event"], entry["worker"], entry["detail"], entry["attempt"])
        for entry in entries
    )


def pack(trajectory: Trajectory) -> bytes:
    """Compress a trajectory."""
    return zlib.compress(trajectory.model_dump_json(exclude_defaults=True).encode())


def unpack(blob: bytes) -> Trajectory:
    """Decompress a trajectory; zlib.error or ValueError if it is not one, NewerRecordError as `parse`."""
    return parse(Trajectory, decompress(blob, MOST_BYTES), "this trajectory")


def decompress(blob: bytes, most: int) -> bytes:
    """What zlib.compress made of at most so many bytes; zlib.error if it is more, or anything else."""
    stream = zlib.decompressobj()
    content = stream.decompress(blob, most + 1)
    if len(content) > most or not stream.eof:
        raise zlib.error(f"more than {most:,} bytes, or cut off")
    return content


def parse(kind: type[R], text: str | bytes, name: str) -> R:
    """Parse a stored record; `name` is for the message.

    NewerRecordError if a later version of applejack has written it, ValidationError if it is broken.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        if sign := newer(error, choices=kind is Spec):
            raise NewerRecordError(
                f"{name} was written by a later applejack than {version()}, which runs here: it has {sign}; install "
                "that version here"
            ) from error
        raise


def newer(error: ValidationError, *, choices: bool) -> str:
    """What shows that a record is of a later version; "" if it is broken.

    `choices`: also a value that is not one of those known. In a trajectory that is rather a broken value.
    """
    for fault in error.errors(include_url=False):
        place, value = ".".join(map(str, fault["loc"])), fault["input"]
        if fault["type"] == "extra_forbidden":
            return f"the field {place!r}"
        later = place == "schema_version" and isinstance(value, int) and value > 1
        if later or (choices and fault["type"] in CHOICES):
            return f"{place} {str(value)[:40]!r}"
    return ""


def ms(seconds: float) -> int:
    """Convert to whole milliseconds, the scripts' unit."""
    return round(seconds * 1000)
