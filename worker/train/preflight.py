"""Checks everything that can be checked before a weight is loaded: fail in seconds, not after an hour."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from config import logs
from config.errors import TrainingError
from config.records import JsonObject
from worker.device import budget
from worker.device.machine import Machine, this_machine
from worker.device.model_memory import Model, TrainingShape
from worker.train.checkpoints import KEPT
from worker.train.dataset_check import check_dataset
from worker.train.sequences import merge
from worker.train.training_size import DEFAULT_BATCH, TrainingSize, sized

FLOAT_BYTES = 4  # of one adapter weight at most
SAVED_COPIES = 3  # weights, and two moments of the optimizer
MARGIN_BYTES = 200_000_000  # logs, mlx's compiled kernels, and other writes on the host meanwhile

log = logs.get(__name__)


@dataclass(frozen=True)
class Plan:
    """A training that may start."""

    hyperparameters: JsonObject
    """for mlx_lm"""
    rows: dict[str, int]
    """by split"""
    longest: int
    """tokens of the longest row"""
    size: TrainingSize
    memory: budget.Training
    disk: int
    """bytes that the adapter and its checkpoints may take"""


def preflight(
    dataset: Path,
    *,
    student: Path,
    out: Path,
    overrides: JsonObject,
    file: Path | None = None,
    machine: Machine | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Plan:
    """Check dataset, student, hyperparameters, memory and disk of this machine or `machine`.

    UsageError or TrainingError, in one line with the remedy; TrainingError also when `cancelled` turns true.
    """
    checked = check_dataset(dataset, student=student, overrides=overrides, file=file, cancelled=cancelled)
    train = checked.tokens["train"]
    longest = max(map(len, chain.from_iterable(checked.tokens.values())))
    size, sized_values = sized(checked.values, len(train), len(merge((row, 0) for row in train)))
    memory = require_memory(Model.of(student), machine or this_machine(), sized_values, longest, overrides)
    values = {**sized_values, "grad_checkpoint": memory.grad_checkpoint}
    disk = adapter_bytes(student, values) + MARGIN_BYTES
    require_disk(out, disk)
    for warning in filter(None, (size.warning, memory.warning)):
        log.warning("train.unusual", reason=warning)
    return Plan(values, checked.rows, longest, size, memory, disk)


def require_memory(
    model: Model, machine: Machine, values: JsonObject, longest: int, overrides: JsonObject
) -> budget.Training:
    """Choose gradient checkpointing by memory; TrainingError when the longest row does not fit even so."""
    lora = cast("JsonObject", values.get("lora_parameters") or {})
    shape = TrainingShape(
        tokens=longest,
        batch=cast("int", values.get("batch_size", DEFAULT_BATCH)),
        layers=cast("int", values.get("num_layers", 16)),
        rank=cast("int", lora.get("rank", 8)),
        full=values.get("fine_tune_type") == "full",
    )
    checkpoint = cast("bool | None", values.get("grad_checkpoint"))
    fixed = checkpoint is not None or "batch_size" in overrides
    return budget.training(model, machine, shape, checkpoint=checkpoint, fixed=fixed)


def adapter_bytes(student: Path, values: JsonObject) -> int:
    """An upper estimate of what the adapter and its checkpoints take on disk."""
    weights = trained_weights(student, values) * FLOAT_BYTES
    saved = KEPT + 1  # one is written before the oldest is removed
    return weights + saved * SAVED_COPIES * weights


def trained_weights(student: Path, values: JsonObject) -> int:
    """An upper estimate of their number: rank x (in + out) for seven matrices a layer, or all of a full training."""
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    hidden, layers = int(config.get("hidden_size", 4096)), int(config.get("num_hidden_layers", 32))
    inner = int(config.get("intermediate_size") or 4 * hidden)
    requested = cast("int", values.get("num_layers", 16))
    trained = layers if requested < 0 else min(requested, layers)
    if values.get("fine_tune_type") == "full":
        return trained * (4 * hidden * hidden + 3 * hidden * inner)
    lora = cast("JsonObject", values.get("lora_parameters") or {})
    return trained * cast("int", lora.get("rank", 8)) * (4 * 2 * hidden + 3 * (hidden + inner))


def require_disk(out: Path, needed: int) -> None:
    """TrainingError unless `needed` bytes are free where the adapter and its checkpoints will be written."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise TrainingError(
            f"{str(place)!r} has {free / 1e9:.1f} GB free, but the adapter and its checkpoints may take "
            f"{needed / 1e9:.1f} GB: free {(needed - free) / 1e9:.1f} GB there or choose another --out"
        )
