"""The files that `applejack fetch` wrote, with their hashes, so that another fetch replaces them and nothing else."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from config.atomic_files import write_text

FILES: Final = ("dataset", "adapter", "report")
VERSIONED: Final = re.compile(r"(adapter|report)@v\d+")  # of an earlier adapter of the run
RECORD: Final = ".fetched.json"  # beside the folders; lists the fetched files, {folder: {file: hex sha256}}

Hashes = dict[str, str]


def read_manifest(target: Path) -> dict[str, Hashes]:
    """The files that earlier fetches wrote into `target`; empty if there were none."""
    try:
        read = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {name: hashes for name, hashes in read.items() if is_folder(name) and isinstance(hashes, dict)}
        if isinstance(read, dict)
        else {}
    )


def is_folder(name: str) -> bool:
    """Whether a folder of a run has this name."""
    return name in FILES or VERSIONED.fullmatch(name) is not None


def write_manifest(target: Path, written: dict[str, Hashes]) -> None:
    """Record the files."""
    write_text(target / RECORD, json.dumps(written, indent=2) + "\n")


@contextmanager
def note_change(file: Path) -> Iterator[None]:
    """Record that applejack itself changes a fetched file in this block, unless a person has edited it before."""
    folder = file.resolve().parent
    hashes = read_manifest(folder.parent).get(folder.name, {})
    unmodified = file.name in hashes and hashes[file.name] == sha256(file)
    yield
    if unmodified:
        written = read_manifest(folder.parent)
        written[folder.name][file.name] = sha256(file)
        write_manifest(folder.parent, written)


def has_files(folder: Path, hashes: Hashes) -> bool:
    """Whether a folder holds each of these files unchanged. It may hold others."""
    return all((folder / name).is_file() and sha256(folder / name) == known for name, known in hashes.items())


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
