"""What determines an adapter: dataset, student and hyperparameters. An adapter of the same recipe is used again."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from config.atomic_files import replace_directory
from config.errors import UsageError
from config.records import Adapter, JsonObject
from worker.models.resolve import hub_name
from worker.train.dataset_check import SPLITS
from worker.train.file_names import LOG, MLX_CONFIG, RECIPE, RECORD, WEIGHTS
from worker.train.preflight import Plan
from worker.train.saved_weights import SavedWeights, saved_name


def finished(out: Path, recipe: JsonObject) -> Adapter | None:
    """The adapter in `out` if it is complete and has this recipe."""
    try:
        if json.loads((out / RECIPE).read_text(encoding="utf-8")) != recipe or not (out / WEIGHTS).is_file():
            return None
        return Adapter.model_validate_json((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError):
        return None


def write_adapter(
    adapter: Adapter, weights: Path, recipe: JsonObject, log_file: Path, earlier: Iterable[SavedWeights] = ()
) -> None:
    """Write a complete adapter to its path, which is replaced. `weights`: a directory that mlx_lm loads.

    `earlier` are weights that the training saved on its way.
    """
    out = Path(adapter.path).absolute()
    mlx_config = json.loads((weights / MLX_CONFIG).read_text(encoding="utf-8"))
    mlx_config["adapter_path"] = adapter.path
    with replace_directory(out) as fresh:
        shutil.copyfile(weights / WEIGHTS, fresh / WEIGHTS)
        shutil.copyfile(log_file, fresh / LOG)
        for saved in earlier:
            shutil.copyfile(saved.path, fresh / saved_name(saved.iteration))
        for name, content in (
            (MLX_CONFIG, json.dumps(mlx_config, indent=4)),
            (RECIPE, json.dumps(recipe, indent=2)),
            (RECORD, adapter.model_dump_json(indent=2)),
        ):
            (fresh / name).write_text(content + "\n", encoding="utf-8")


def recipe_of(dataset: Path, student: Path, plan: Plan) -> JsonObject:
    """The inputs that determine the adapter."""
    return inputs(dataset, student, plan.hyperparameters)


def inputs(dataset: Path, student: Path, hyperparameters: JsonObject) -> JsonObject:
    """Dataset, student and hyperparameters, each with what identifies its content."""
    model, revision = hub_name(student)
    origin: JsonObject = {"model": model, "revision": revision} if revision else {"path": str(student.absolute())}
    return {
        "dataset_hash": dataset_hash(dataset),
        "student": {**origin, **weights_of(student)},
        "hyperparameters": hyperparameters,
    }


def weights_of(student: Path) -> JsonObject:
    """What tells a student's files from another's: its config, and the sizes of its weight files."""
    weights = {file.name: file.stat().st_size for file in sorted(student.glob("model*.safetensors"))}
    config = hashlib.sha256((student / "config.json").read_bytes()).hexdigest()
    return {"config_sha256": config, "weights": cast("JsonObject", weights)}


def dataset_hash(dataset: Path) -> str:
    """The content hash in dataset.json, else the sha256 of the split files."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))["content_hash"])
    digest = hashlib.sha256()
    for split in SPLITS:
        file = dataset / f"{split}.jsonl"
        digest.update(f"{split}\0".encode() + (file.read_bytes() if file.is_file() else b"") + b"\0")
    return digest.hexdigest()


def require_replaceable(out: Path) -> None:
    """Raise UsageError if `out` contains anything other than the output of an earlier training."""
    if not out.exists():
        return
    names = {entry.name for entry in out.iterdir()} if out.is_dir() else {""}
    if names and RECIPE not in names and not names <= {LOG}:
        raise UsageError(f"{str(out)!r} exists and is not an adapter of applejack; choose another --out or remove it")
