"""The files of one commit on the hub, and what of them has arrived in the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from worker.models.resolve import is_needed, repo_folder

PARTIAL: Final = ".applejack-partial"  # ending of a large file that is being downloaded


@dataclass(frozen=True)
class RemoteFile:
    """One file of a commit."""

    name: str
    size: int
    sha256: str | None
    """of a large file; None: a small one, which git stores itself"""


@dataclass(frozen=True)
class Remote:
    """The files that are needed of one commit, and their places in the cache."""

    model: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def folder(self) -> Path:
        """The model's folder in the cache."""
        return repo_folder(self.model)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def blob(self, file: RemoteFile) -> Path:
        """Where a large file's content belongs."""
        return self.folder / "blobs" / str(file.sha256)

    def partial(self, file: RemoteFile) -> Path:
        """What has arrived of it so far."""
        return self.folder / "blobs" / f"{file.sha256}{PARTIAL}"

    def has(self, file: RemoteFile) -> bool:
        """Whether the file is complete."""
        link = self.folder / "snapshots" / self.commit / file.name
        return link.is_file() or (file.sha256 is not None and self.blob(file).is_file())

    def present(self) -> int:
        """Bytes that have arrived, in this or an earlier try."""
        parts = (file.size if self.has(file) else size_of(self.partial(file)) for file in self.files)
        return sum(parts)


def list_files(model: str, commit: str, patterns: Sequence[str]) -> tuple[RemoteFile, ...]:
    """The files of a commit that match."""
    found = HfApi().list_repo_tree(model, revision=commit, recursive=True)
    return tuple(
        RemoteFile(file.path, file.lfs.size if file.lfs else file.size, file.lfs.sha256 if file.lfs else None)
        for file in found
        if isinstance(file, RepoFile) and is_needed(file.path, patterns)
    )


def size_of(file: Path) -> int:
    """Bytes of a file, 0 if it is missing."""
    return file.stat().st_size if file.is_file() else 0
