"""Keeps rows and verdicts on disk during a curation, so that memory holds only their offsets."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple


class Span(NamedTuple):
    """Offset and size of a piece in the spool, in bytes."""

    offset: int
    size: int


class Spool:
    """An append-only temporary file without a name. It is deleted when it is closed."""

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
        """Append a piece and return its span."""
        self._file.seek(self._end)
        self._file.write(piece)
        span = Span(self._end, len(piece))
        self._end += len(piece)
        return span

    def get(self, span: Span) -> bytes:
        """Read a piece."""
        self._file.seek(span.offset)
        return self._file.read(span.size)
