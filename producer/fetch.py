"""A run's folders brought to this machine, in the place of what an earlier fetch left there and of nothing else."""

import hashlib
import json
from pathlib import Path

from config.atomic_files import write_text
from config.errors import UsageError
from config.ledger import Ledger

FILES = ("dataset", "adapter", "report")
RECORD = ".fetched.json"  # beside the folders: what was written there, {folder: {file: hex sha256}}

Hashes = dict[str, str]


def fetch(ledger: Ledger, run_id: str, target: Path) -> list[Path]:
    """Write the folders that the ledger has of a run into `target`; their files.

    UsageError, before anything is changed, when a file stands there that neither the ledger has nor a fetch wrote.
    """
    stored = {name: hashes for name in FILES if (hashes := ledger.files.hashes(run_id, name))}
    written = read_manifest(target)
    for name, hashes in stored.items():
        require_unmodified(target / name, hashes, written.get(name, {}))
    files: list[Path] = []
    for name in stored:
        files += ledger.files.get(run_id, name, target / name)
    if files:
        write_text(target / RECORD, json.dumps({**written, **stored}, indent=2) + "\n")
    return files


def read_manifest(target: Path) -> dict[str, Hashes]:
    """What earlier fetches wrote into `target`; empty when there was none."""
    try:
        read = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {name: hashes for name in FILES if isinstance(hashes := read.get(name), dict)} if isinstance(read, dict) else {}
    )


def require_unmodified(folder: Path, *known: Hashes) -> None:
    """UsageError unless each file in `folder` has one of its known contents, so that replacing it loses nothing."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{str(folder)!r} is no folder of a fetch; choose another --out, nothing was changed")
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        relative = path.relative_to(folder).as_posix()
        hashes = {one[relative] for one in known if relative in one}
        if path.is_symlink() or not path.is_file() or not hashes or sha256(path) not in hashes:
            raise UsageError(
                f"{str(path)!r} is not what a fetch left there, and would be lost; "
                "move it away or choose another --out, nothing was changed"
            )


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
