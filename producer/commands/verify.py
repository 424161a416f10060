"""`applejack verify`: execute the recorded tool calls of a run or of files again, and compare the results."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from config.atomic_files import write_lines
from config.errors import UsageError
from config.settings import Settings
from producer.archive import TRAJECTORIES
from producer.commands.options import Dir, Json, settings_with_dir
from producer.commands.stages import worker_command
from producer.connect import open_ledger

MANIFEST = "dataset.json"  # of a dataset directory


def verify(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|DATASET|FILE",
            help="Id of a run, in the ledger or archived under --dir; a dataset or an archived run's directory; "
            "or files of trajectories.",
        ),
    ],
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Execute recorded tool calls again on their pinned code and compare the results.

    Only code on this machine is read, and `run_command` is never executed. A dataset does not contain its trajectories:
    they are the trajectories.jsonl in or beside its directory, or those of its run in the ledger.
    Exit code 1: some results differ, or no call could be executed.
    """
    settings = settings_with_dir(folder)
    with trajectories_of(targets, settings) as files:
        command = worker_command("verify", *map(str, files), *(["--json"] if as_json else []))
        done = subprocess.run(command, env={**os.environ, "APPLEJACK_DIR": str(settings.dir)}, check=False)
    raise typer.Exit(done.returncode)


@contextmanager
def trajectories_of(targets: list[str], settings: Settings) -> Iterator[list[Path]]:
    """Files with the trajectories of runs, datasets and files. Those of a run in the ledger are deleted afterwards.

    Raises UsageError if a target is none of these, or if its trajectories are not at hand.
    """
    with tempfile.TemporaryDirectory() as place:
        yield [_file(target, settings, Path(place) / f"{number}.jsonl") for number, target in enumerate(targets)]


def _file(target: str, settings: Settings, copy: Path) -> Path:
    path = Path(target)
    if path.is_file():
        return path
    if path.is_dir():
        return _beside(path) or _of_dataset(path, settings, copy)
    if "/" in target or path.suffix == ".jsonl":
        raise UsageError(f"{target!r} does not exist")
    return _of_run(target, settings, copy)


def _beside(folder: Path) -> Path | None:
    """The trajectories in a directory, or beside it if it is a dataset, as an archived run has them."""
    places = (folder, folder.resolve().parent) if (folder / MANIFEST).is_file() else (folder,)
    return next((place / TRAJECTORIES for place in places if (place / TRAJECTORIES).is_file()), None)


def _of_dataset(folder: Path, settings: Settings, copy: Path) -> Path:
    missing = f"there are no trajectories in or beside {str(folder)!r}; give the .jsonl files that it was curated from"
    run = _source_run(folder / MANIFEST)
    if run is None:
        raise UsageError(f"{missing}, or the id of its run")
    try:
        return _of_run(run, settings, copy)
    except UsageError as error:
        raise UsageError(f"{missing}. Its run {run!r} is not at hand: {error}") from error


def _of_run(run: str, settings: Settings, copy: Path) -> Path:
    archived = settings.dir / "archive" / run / TRAJECTORIES
    try:
        with open_ledger(settings, stopped=True) as (ledger, _):
            ledger.run(run)
            count = write_lines(copy, (one.model_dump_json() for one in ledger.jobs.trajectories(run)))
    except UsageError:
        if archived.is_file():
            return archived
        raise
    if not count:
        raise UsageError(f"run {run!r} has no trajectories yet; see its progress with `applejack status {run}`")
    return copy


def _source_run(manifest: Path) -> str | None:
    """The run that a dataset was curated from; None if it is not recorded, or if there were several."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    run = content.get("source_run") if isinstance(content, dict) else None
    return run if isinstance(run, str) and not run.startswith("mixed-") else None
