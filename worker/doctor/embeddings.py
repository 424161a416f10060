"""Reads two rows of a model's embeddings from its files. Tokens that were never trained have equal embeddings."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from config.diagnostics import CannotCheckError

NAMES = ("model.embed_tokens.weight", "language_model.model.embed_tokens.weight")
HEADER_BYTES = 8  # a safetensors file starts with the length of its header
MAX_HEADER = 100_000_000  # the format's own limit
BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Table:
    """The embeddings inside a safetensors file."""

    file: Path
    start: int
    """offset of the first row, bytes"""
    width: int
    """values per row"""
    kind: str

    def row(self, token: int) -> npt.NDArray[np.float32]:
        """One token's embedding."""
        size = self.width * BYTES[self.kind]
        with self.file.open("rb") as stream:
            stream.seek(self.start + token * size)
            raw = stream.read(size)
        if self.kind == "BF16":  # the upper half of a float32
            return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(raw, "<f4" if self.kind == "F32" else "<f2").astype(np.float32)


def cosine(model: Path, first: int, second: int) -> float:
    """Cosine of two tokens' embeddings. Raises CannotCheckError if the weights are missing or quantised."""
    table = find(model)
    if table.kind not in BYTES:
        raise CannotCheckError(f"the embeddings are quantised ({table.kind}); check the unquantised model instead")
    rows = [table.row(token) for token in (first, second)]
    lengths = [float(np.linalg.norm(row)) for row in rows]
    return float(rows[0] @ rows[1]) / (lengths[0] * lengths[1]) if all(lengths) else 1.0


def find(model: Path) -> Table:
    """The embeddings of a model directory. Raises CannotCheckError if there are none."""
    for file in sorted(model.glob("model*.safetensors")):
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(HEADER_BYTES), "little")
            try:
                header = json.loads(stream.read(length)) if length < MAX_HEADER else {}
            except ValueError:
                continue
        for name in NAMES:
            if entry := header.get(name):
                start = HEADER_BYTES + length + int(entry["data_offsets"][0])
                return Table(file, start, int(entry["shape"][1]), str(entry["dtype"]))
    raise CannotCheckError(f"no embeddings in the model*.safetensors of {str(model)!r}")
