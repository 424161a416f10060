"""Which weights a model server loaded, as its own process records it.

The server appends one line of JSON for each load: the directories and a fingerprint of each. A model's fingerprint is a
sha256 over the names, sizes, starts and evenly spaced samples of its files (weights, config, tokenizer, template), so
that 60 GB take less than a second. An adapter is small and hashed whole.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

ADAPTER_WEIGHTS = "adapters.safetensors"
SAMPLES = 64  # per file
SAMPLE_BYTES = 16 * 1024
HEADER_BYTES = 256 * 1024  # names, shapes and offsets of the tensors
FILES = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
NO_FILE = "none"  # fingerprint of a directory without files


@dataclass(frozen=True)
class LoadedWeights:
    """One load: a model, with or without an adapter."""

    model: str
    """directory or hub id, as the server was given it"""
    model_digest: str
    adapter: str | None = None
    adapter_digest: str | None = None

    @classmethod
    def of(cls, model: Path | str, adapter: Path | str | None) -> Self:
        """What a server that loads these two records."""
        return cls(
            model=str(model),
            model_digest=_model_digest(Path(model)),
            adapter=str(adapter) if adapter else None,
            adapter_digest=_whole(Path(adapter) / ADAPTER_WEIGHTS) if adapter else None,
        )

    @property
    def shown(self) -> str:
        """For a message."""
        return f"{self.model!r} with the adapter {self.adapter!r}" if self.adapter else f"{self.model!r} alone"

    def record(self, file: Path) -> None:
        """Append to the server's record."""
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(self)) + "\n")


def recorded_loads(file: Path) -> tuple[LoadedWeights, ...]:
    """All loads of a server, in order; () if it has recorded none."""
    if not file.is_file():
        return ()
    return tuple(LoadedWeights(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())


def _model_digest(directory: Path) -> str:
    files = [file for pattern in FILES for file in sorted(directory.glob(pattern))]
    if not files:
        return NO_FILE
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as content:
            digest.update(content.read(HEADER_BYTES))
            for sample in range(SAMPLES if size > HEADER_BYTES else 0):
                content.seek(size * sample // SAMPLES)
                digest.update(content.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _whole(file: Path) -> str:
    if not file.is_file():
        return NO_FILE
    with file.open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()
