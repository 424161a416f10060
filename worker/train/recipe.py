"""What determines an adapter: dataset, student and hyperparameters. An adapter of the same recipe is used again."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from config.errors import UsageError
from config.records import Adapter, JsonObject
from worker.models.resolve import hub_name
from worker.train.preflight import SPLITS, Plan

RECORD = "adapter.json"  # the Adapter; written last
RECIPE = "recipe.json"  # dataset, student and hyperparameters
LOG = "train.log"
WEIGHTS = "adapters.safetensors"


def finished(out: Path, recipe: JsonObject) -> Adapter | None:
    """The adapter in `out` if it is complete and has this recipe."""
    try:
        if json.loads((out / RECIPE).read_text(encoding="utf-8")) != recipe or not (out / WEIGHTS).is_file():
            return None
        return Adapter.model_validate_json((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError):
        return None


def recipe_of(dataset: Path, student: Path, plan: Plan) -> JsonObject:
    """The inputs that determine the adapter."""
    return inputs(dataset, student, plan.hyperparameters)


def inputs(dataset: Path, student: Path, hyperparameters: JsonObject) -> JsonObject:
    """Dataset, student and hyperparameters, each with what identifies its content."""
    weights = {file.name: file.stat().st_size for file in sorted(student.glob("model*.safetensors"))}
    config = hashlib.sha256((student / "config.json").read_bytes()).hexdigest()
    model, revision = hub_name(student)
    origin: JsonObject = {"model": model, "revision": revision} if revision else {"path": str(student.absolute())}
    return {
        "dataset_hash": dataset_hash(dataset),
        "student": {**origin, "config_sha256": config, "weights": cast("JsonObject", weights)},
        "hyperparameters": hyperparameters,
    }


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
