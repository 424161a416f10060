"""Downloads the folders of a run. It replaces files of an earlier fetch, but no others."""

from pathlib import Path

from config.errors import UsageError
from config.fetched import FILES, Hashes, read_manifest, sha256, write_manifest
from config.ledger import Ledger


def fetch(ledger: Ledger, run_id: str, target: Path) -> list[Path]:
    """Write the stored folders of a run into `target`; returns the paths of their files.

    Raises UsageError, before any change, if a file there is neither in the ledger nor from an earlier fetch.
    """
    stored = {name: hashes for name in FILES if (hashes := ledger.files.hashes(run_id, name))}
    written = read_manifest(target)
    for name, hashes in stored.items():
        require_unmodified(target / name, hashes, written.get(name, {}))
    files: list[Path] = []
    for name in stored:
        files += ledger.files.get(run_id, name, target / name)
    if files:
        write_manifest(target, {**written, **stored})
    return files


def require_unmodified(folder: Path, *known: Hashes) -> None:
    """Raise UsageError unless each file in `folder` has one of its known hashes, so that replacing it loses nothing."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"{str(folder)!r} is not a folder of an earlier fetch; choose another --out. Nothing was changed"
        )
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        relative = path.relative_to(folder).as_posix()
        known_hashes = {hashes[relative] for hashes in known if relative in hashes}
        if path.is_symlink() or not path.is_file() or sha256(path) not in known_hashes:
            raise UsageError(
                f"{str(path)!r} was not written by a fetch, or was changed since, and would be lost; "
                "move it away or choose another --out. Nothing was changed"
            )
