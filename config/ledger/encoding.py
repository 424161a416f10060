"""How the ledger's values are written: histories, compressed trajectories, milliseconds."""

import json
import zlib
from dataclasses import dataclass

from config.ledger.store import decode
from config.records import Trajectory


@dataclass(frozen=True)
class Event:
    """One line of a job's or a stage's history."""

    at: float
    """seconds since the epoch, by the server's clock"""
    event: str
    worker: str
    detail: str
    attempt: int


def events(history: object) -> tuple[Event, ...]:
    """The history kept by the scripts, one JSON object a line."""
    lines = [json.loads(line) for line in decode(history).splitlines()]
    return tuple(
        Event(line["at"] / 1000, line["event"], line["worker"], line["detail"], line["attempt"]) for line in lines
    )


def pack(trajectory: Trajectory) -> bytes:
    """The trajectory compressed; `unpack` gives it back."""
    return zlib.compress(trajectory.model_dump_json(exclude_defaults=True).encode())


def unpack(blob: bytes) -> Trajectory:
    """The trajectory of a `pack`."""
    return Trajectory.model_validate_json(zlib.decompress(blob))


def ms(seconds: float) -> int:
    """Whole milliseconds, as the scripts count time."""
    return round(seconds * 1000)
