"""Checkpoints of an unfinished training, in a hidden directory beside its adapter.

    .NAME.checkpoints/        beside the adapter NAME; removed when the adapter is complete
        recipe.json           what is trained; a training of another recipe starts anew
        0000200/              after iteration 200: a whole adapter (mlx_lm can load it), optimizer state, state.json
        0000100_adapters...   weights of an older checkpoint, for the choice after the training

A checkpoint is written to a temporary directory, flushed to disk and renamed, so that a kill or a power failure leaves
it whole or absent. state.json records the sizes of the other files.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from config.atomic_files import replace_directory
from config.records import JsonObject, Record, TrainProgress
from worker.train.file_names import RECIPE, WEIGHTS
from worker.train.saved_weights import SavedWeights, saved_name, saved_weights

KEPT = 2  # the newest, and the one before should the newest be damaged
STATE = "state.json"
DIGITS = 7  # as in the file names of mlx_lm


Writer = Callable[[Path], None]  # writes files into a directory


class State(Record):
    """What a training needs beside weights and optimizer state to go on as if it had not been interrupted."""

    schema_version: Literal[1] = 1
    iteration: int
    """Iterations done."""
    seconds: float
    """Since the training began, without the time between an interruption and the next start."""
    random_key: tuple[int, int]
    """State of mlx's random generator, which dropout uses."""
    trained_tokens: int
    """Tokens trained on, up to the last report."""
    loss: float = 0.0
    """Sum of the losses since the last report."""
    tokens: int = 0
    """Tokens trained on since the last report."""
    steps: int = 0
    """Iterations since the last report."""
    step_seconds: float = 0.0
    """Their duration."""
    reports: tuple[TrainProgress, ...] = ()
    """All reports so far, oldest first."""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Bytes of the checkpoint's other files."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    iteration: int
    path: Path
    """a directory that mlx_lm loads as an adapter: adapters.safetensors and adapter_config.json"""

    @property
    def state(self) -> State:
        """The recorded state."""
        return State.model_validate_json((self.path / STATE).read_text(encoding="utf-8"))


def folder_of(out: Path) -> Path:
    """The directory of the checkpoints of the adapter `out`."""
    return out.absolute().with_name(f".{out.absolute().name}.checkpoints")


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints in a directory, oldest first; none if it does not exist."""
    found = [entry for entry in folder.glob("[0-9]" * DIGITS) if _is_complete(entry)]
    return sorted((Checkpoint(int(entry.name), entry) for entry in found), key=lambda found: found.iteration)


def all_weights(folder: Path) -> list[SavedWeights]:
    """The weights of every checkpoint that was saved, oldest first."""
    whole = [SavedWeights(found.iteration, found.path / WEIGHTS) for found in checkpoints(folder)]
    return sorted([*saved_weights(folder), *whole], key=lambda saved: saved.iteration)


def open_folder(folder: Path, recipe: JsonObject) -> list[Checkpoint]:
    """Prepare the directory for a training; returns the checkpoints of the same recipe. Others are removed."""
    try:
        same = json.loads((folder / RECIPE).read_text(encoding="utf-8")) == recipe
    except (OSError, ValueError):
        same = False
    if not same:
        remove(folder)
        with replace_directory(folder) as fresh:
            (fresh / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    return checkpoints(folder)


def save(folder: Path, state: State, write: Writer) -> Checkpoint:
    """Write a checkpoint, then keep only the weights of all but the newest KEPT. `write` writes all but state.json.

    Raises OSError; then the earlier checkpoints are unchanged.
    """
    path = folder / f"{state.iteration:0{DIGITS}d}"
    with replace_directory(path) as fresh:
        write(fresh)
        sizes = {file.name: file.stat().st_size for file in sorted(fresh.iterdir())}
        text = state.model_copy(update={"sizes": sizes}).model_dump_json()
        (fresh / STATE).write_text(text + "\n", encoding="utf-8")
        for file in (*fresh.iterdir(), fresh):
            _flush(file)
    _flush(folder)
    for old in checkpoints(folder)[:-KEPT]:
        (old.path / WEIGHTS).replace(folder / saved_name(old.iteration))
        shutil.rmtree(old.path, ignore_errors=True)
    return Checkpoint(state.iteration, path)


def remove(folder: Path) -> None:
    """Remove the directory of a finished or abandoned training, if there is one."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_complete(path: Path) -> bool:
    try:
        sizes = State.model_validate_json((path / STATE).read_text(encoding="utf-8")).sizes
        return bool(sizes) and all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, ValidationError):
        return False


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
