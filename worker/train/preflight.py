"""Checks everything that can be checked before a weight is loaded: fail in seconds, not after an hour."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from config import hyperparameters, logs
from config.errors import TrainingError, UsageError
from config.records import JsonObject
from worker.device import budget
from worker.device.machine import Machine, this_machine
from worker.device.model_memory import Model, TrainingShape
from worker.student.tokenizer import RenderError, Student
from worker.train import student_files
from worker.train.checkpoints import KEPT
from worker.train.sequences import merge
from worker.train.training_size import DEFAULT_BATCH, TrainingSize, sized

SPLITS = ("train", "valid", "test")
CHECKED_ROWS = 100  # between checks for cancellation; they take well under a second
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
    if not dataset.is_dir():
        raise UsageError(f"no dataset at {str(dataset)!r}: give a directory with train.jsonl and valid.jsonl")
    rows = {split: read_rows(dataset / f"{split}.jsonl") for split in SPLITS}
    if not rows["train"]:
        raise TrainingError(
            f"the dataset {str(dataset)!r} has no training rows: nothing was kept; its rejected.jsonl has the reasons"
        )
    require_proof(dataset)
    turns = kind_of(rows["train"][0], dataset) == "turns"
    values = hyperparameters.resolve(overrides, turns=turns, file=file or hyperparameters.DEFAULT_FILE)
    require_rows({split: len(found) for split, found in rows.items()}, values, dataset)
    student_files.require_loadable(student)
    tokens = require_lengths(dataset, rows, Student(student), cast("int", values["max_seq_length"]), cancelled)
    longest = max(map(len, chain.from_iterable(tokens.values())))
    size, sized_values = sized(values, len(rows["train"]), len(merge((row, 0) for row in tokens["train"])))
    memory = require_memory(Model.of(student), machine or this_machine(), sized_values, longest, overrides)
    values = {**sized_values, "grad_checkpoint": memory.grad_checkpoint}
    disk = adapter_bytes(student, values) + MARGIN_BYTES
    require_disk(out, disk)
    for warning in filter(None, (size.warning, memory.warning)):
        log.warning("train.unusual", reason=warning)
    return Plan(values, {split: len(found) for split, found in rows.items()}, longest, size, memory, disk)


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


def require_proof(dataset: Path) -> None:
    """Refuse a dataset whose loss-mask check failed; a dataset made elsewhere has no such check."""
    card = dataset / "dataset.json"
    try:
        content = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    except ValueError as error:
        raise TrainingError(f"{str(card)!r} is not JSON: {error}; curate again") from None
    proof = content.get("loss_proof") if isinstance(content, dict) else None
    if isinstance(proof, dict) and proof.get("passed") is False:
        faults = proof.get("faults") or ["its loss proof failed"]
        message = "; ".join(str(fault) for fault in faults) if isinstance(faults, list) else str(faults)
        raise TrainingError(
            f"{str(card)!r} reports that this dataset would teach the wrong thing: {message}. Curate again with "
            "--format turns or another chat template"
        )


def read_rows(file: Path) -> list[JsonObject]:
    """The rows of a split, none if the file is missing; TrainingError names a line that is not a JSON object."""
    if not file.is_file():
        return []
    rows: list[JsonObject] = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise TrainingError(f"{file}:{number} is not a JSON object: {line[:80].rstrip()!r}; curate again")
            rows.append(row)
    return rows


def kind_of(row: JsonObject, dataset: Path) -> str:
    """The format in which mlx_lm will read the rows: "turns" or "text"."""
    if isinstance(row.get("messages"), list):
        return "turns"
    if isinstance(row.get("text"), str):
        return "text"
    raise TrainingError(f"the rows of {str(dataset)!r} hold {sorted(row)!r}, but neither 'text' nor 'messages'")


def require_rows(counts: dict[str, int], values: JsonObject, dataset: Path) -> None:
    """Check row counts: mlx_lm raises, after loading, when a split has fewer rows than a batch."""
    batch = cast("int", values.get("batch_size", DEFAULT_BATCH))
    for split in SPLITS:
        required = split != "test" or bool(values.get("test"))
        if required and counts[split] < batch and (counts[split] or split != "valid"):
            raise TrainingError(
                f"{split}.jsonl of {str(dataset)!r} has {counts[split]} rows, fewer than batch_size={batch}: "
                f"set batch_size lower or generate more prompts"
            )
    if not counts["valid"]:
        log.warning("train.no_validation", dataset=str(dataset), reason="valid.jsonl is missing or empty")


def require_lengths(
    dataset: Path,
    rows: dict[str, list[JsonObject]],
    student: Student,
    limit: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, list[list[int]]]:
    """The rows' tokens by split; TrainingError when one would be cut, or does not end with a stop token."""
    read: dict[str, list[list[int]]] = {split: [] for split in rows}
    for split, found in rows.items():
        for number, row in enumerate(found, 1):
            if number % CHECKED_ROWS == 0 and cancelled():
                raise TrainingError("training was cancelled")
            where = f"{dataset / split}.jsonl:{number}"
            tokens = row_tokens(row, student, where)
            read[split].append(tokens)
            if len(tokens) > limit:
                raise TrainingError(
                    f"{where} has {len(tokens)} tokens, more than max_seq_length={limit}: mlx_lm would cut off the "
                    "answer and its stop token; raise max_seq_length or curate with a lower one"
                )
            if not student.eos_ids.intersection(tokens[-2:]):  # some templates close a turn with a newline
                raise TrainingError(
                    f"{where} does not end with a stop token of the student ({sorted(student.eos_texts)!r}): it would "
                    "never learn to stop; check the student's chat template and eos_token"
                )
    return read


def row_tokens(row: JsonObject, student: Student, where: str) -> list[int]:
    """The tokens mlx_lm trains on."""
    text, messages, tools = row.get("text"), row.get("messages"), row.get("tools")
    try:
        if isinstance(text, str):
            return student.text_ids(text)
        if isinstance(messages, list):
            rendered = student.render(
                cast("list[JsonObject]", messages), cast("list[JsonObject]", tools if isinstance(tools, list) else [])
            )
            return student.ids([rendered])[0]
    except RenderError as error:
        raise TrainingError(f"{where}: {error}") from None
    raise TrainingError(f"{where} holds {sorted(row)!r}, but neither 'text' nor 'messages'; curate again")


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
