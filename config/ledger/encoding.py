"""Encoding of the ledger's values: histories, compressed trajectories, milliseconds."""

import json
import zlib
from dataclasses import dataclass

from config.ledger.store import decode
from config.records import Trajectory

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
    """Decompress a trajectory; zlib.error or ValueError if it is not one."""
    return Trajectory.model_validate_json(decompress(blob, MOST_BYTES))


def decompress(blob: bytes, most: int) -> bytes:
    """What zlib.compress made of at most so many bytes; zlib.error if it is more, or anything else."""
    stream = zlib.decompressobj()
    content = stream.decompress(blob, most + 1)
    if len(content) > most or not stream.eof:
        raise zlib.error(f"more than {most:,} bytes, or cut off")
    return content


def ms(seconds: float) -> int:
    """Convert to whole milliseconds, the scripts' unit."""
    return round(seconds * 1000)
