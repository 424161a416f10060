"""Rows and verdicts on disk while a curation runs, so that memory holds only where they are."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple


class Span(NamedTuple):
    """Where a piece lies in the spool, in bytes."""

    offset: int
    size: int


class Spool:
    """An append-only temporary file without a name; gone when it is closed."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __exit__
        self._end = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, piece: bytes) -> Span:
        """Append a piece."""
        self._file.seek(self._end)
        self._file.write(piece)
        place = Span(self._end, len(piece))
        self._end += len(piece)
        return place

    def get(self, place: Span) -> bytes:
        """Read a piece back."""
        self._file.seek(place.offset)
        return self._file.read(place.size)
