"""Downloads the folders of a run. It replaces files of an earlier fetch, but no others."""

from collections.abc import Sequence
from pathlib import Path

from config.atomic_files import write_lines
from config.errors import UsageError
from config.fetched import FILES, Hashes, read_manifest, sha256, write_manifest
from config.ledger import Ledger

WITH_FIGURES = ("dataset.json", "README.md")  # `applejack precision` writes its figures into these


def fetch(ledger: Ledger, run_id: str, target: Path, *, folders: Sequence[str] = ()) -> list[Path]:
    """Write the stored folders of a run, or those named, into `target`; returns the paths of their files.

    Raises UsageError, before any change, if a file there is neither in the ledger nor from an earlier fetch.
    """
    stored = {
        name: hashes
        for name in folders or folder_names(ledger, run_id)
        if (hashes := ledger.files.hashes(run_id, name))
    }
    written = read_manifest(target)
    for name, hashes in stored.items():
        require_unmodified(target / name, hashes, written.get(name, {}))
    files: list[Path] = []
    for name in stored:
        files += ledger.files.get(run_id, name, target / name)
    if files:
        write_manifest(target, {**written, **stored})
    return files


def folder_names(ledger: Ledger, run_id: str) -> list[str]:
    """The folders that a run may have in the ledger: its newest ones, and those of its earlier adapters."""
    earlier = [found for found in ledger.adapters(run_id) if not found.current]
    return [*FILES, *(found.file_name(name) for found in earlier for name in ("adapter", "report"))]


def fetch_for_review(ledger: Ledger, run_id: str, target: Path, *, trajectories: bool = True) -> None:
    """Write a run's dataset and, with `trajectories`, trajectories.jsonl into `target`, for the marks of its examples.

    A dataset that is already there, with or without the figures of `applejack precision`, is not written again.
    Raises UsageError if the run has no dataset yet, and as `fetch`.
    """
    ledger.run(run_id)
    stored = ledger.files.hashes(run_id, "dataset")
    if not stored:
        raise UsageError(f"run {run_id!r} has no dataset yet; see its progress with `applejack status {run_id}`")
    dataset = target / "dataset"
    same = (
        (dataset / name).is_file() and sha256(dataset / name) == known
        for name, known in stored.items()
        if name not in WITH_FIGURES
    )
    if not all(same):
        fetch(ledger, run_id, target, folders=("dataset",))
    if trajectories:
        write_lines(target / "trajectories.jsonl", (one.model_dump_json() for one in ledger.jobs.trajectories(run_id)))


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
