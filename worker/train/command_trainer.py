"""Trains with a user's own program: `--trainer command:...`. docs/trainers.md describes the contract.

NAME-trainer/         beside the adapter NAME; stays, so that the trainer can continue from its own checkpoints
    config.json       what to train; its path is the command's last argument
    out/              the trainer's directory, from which the adapter is copied
    progress.jsonl    its reports
    train.log         its stdout and stderr
"""

import contextlib
import hashlib
import json
import math
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from config import logs
from config.atomic_files import replace_directory, write_text
from config.errors import TrainingError, UsageError
from config.records import Adapter, JsonObject, TrainProgress
from config.trainer_command import Command
from worker.device.device_lock import Claim, device_lock
from worker.models.resolve import hub_name
from worker.train.adapter_form import collect
from worker.train.command_process import command_reports
from worker.train.dataset_check import check_dataset
from worker.train.file_names import LOG, RECIPE, RECORD, WEIGHTS
from worker.train.recipe import inputs, require_replaceable
from worker.train.training_size import TrainingSize, sized

log = logs.get(__name__)


@dataclass(frozen=True)
class _Task:
    """One training that passed its checks."""

    command: Command
    cwd: Path
    dataset: Path
    student: Path
    out: Path
    rows: dict[str, int]
    format: str
    values: JsonObject
    size: TrainingSize
    recipe: JsonObject
    run_id: str

    @property
    def folder(self) -> Path:
        """The trainer's directory, beside the adapter."""
        return self.out.absolute().with_name(f"{self.out.absolute().name}-trainer")


def train_with_command(
    command: Command,
    dataset: Path,
    *,
    student: Path,
    out: Path,
    overrides: JsonObject,
    on_progress: Callable[[TrainProgress], None],
    cancelled: Callable[[], bool],
    cwd: Path,
    file: Path | None = None,
    run_id: str = "",
) -> Adapter:
    """Train with `command`, started in `cwd`, as train() does with mlx_lm: same checks, progress, lock and adapter.

    Memory is not estimated, because it is the command's. An adapter in mlx_lm's form is taken over and PEFT's is
    converted; another form is recorded as `unservable` and not evaluated. Raises UsageError, DeviceError and
    TrainingError as train() does.
    """
    task = _prepared(command, cwd, dataset, student, out, overrides, file, run_id)
    if found := _finished(task):
        log.info("train.found", adapter=str(out), iterations=found.iterations)
        return found
    require_replaceable(out)
    with device_lock("training", run_id or out.absolute().name, cancelled) as claim:
        log.info("train.started", trainer=shlex.join(command), rows=task.rows, iterations=task.size.iterations)
        size = task.size
        on_progress(TrainProgress(iteration=0, iterations=size.iterations, rows=size.rows, epochs=size.epochs))
        adapter = _trained(task, on_progress, cancelled, claim)
    log.info("train.finished", adapter=str(out), seconds=adapter.seconds, unservable=adapter.unservable)
    return adapter


def _prepared(
    command: Command,
    cwd: Path,
    dataset: Path,
    student: Path,
    out: Path,
    overrides: JsonObject,
    file: Path | None,
    run_id: str,
) -> _Task:
    """The checks of preflight() without those of memory and disk."""
    checked = check_dataset(dataset, student=student, overrides=overrides, file=file)
    values, rows = checked.values, checked.rows
    size, sized_values = sized({**values, "num_layers": _layers(student, values)}, rows["train"], rows["train"])
    recipe = inputs(dataset, student, sized_values) | {"trainer": [*command], "files": _digests(command, cwd)}
    return _Task(command, cwd, dataset, student, out, rows, checked.kind, sized_values, size, recipe, run_id)


def _layers(student: Path, values: JsonObject) -> int:
    """How many of the last layers to train: at most those that the student has, so that no trainer has to count."""
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    layers, wanted = int(config.get("text_config", config)["num_hidden_layers"]), cast("int", values["num_layers"])
    return layers if wanted < 0 else min(wanted, layers)


def _digests(command: Command, cwd: Path) -> JsonObject:
    """The sha256 of the files that the command names, such as its script: a changed one trains anew."""
    files = {word: cwd / word for word in command[1:] if (cwd / word).is_file()}
    return {word: hashlib.sha256(file.read_bytes()).hexdigest() for word, file in files.items()}


def _finished(task: _Task) -> Adapter | None:
    with contextlib.suppress(OSError, ValueError):
        if json.loads((task.out / RECIPE).read_text(encoding="utf-8")) == task.recipe:
            adapter = Adapter.model_validate_json((task.out / RECORD).read_text(encoding="utf-8"))
            return adapter if adapter.unservable or (task.out / WEIGHTS).is_file() else None
    return None


def _trained(
    task: _Task, on_progress: Callable[[TrainProgress], None], cancelled: Callable[[], bool], claim: Claim
) -> Adapter:
    started, folder = time.monotonic(), task.folder
    config = _configured(task)
    reports: list[TrainProgress] = []
    try:
        child = command_reports(
            (*task.command, str(config)),
            cwd=task.cwd,
            log_file=folder / LOG,
            progress=folder / "progress.jsonl",
            iterations=task.size.iterations,
            cancelled=cancelled,
            keep=[claim.descriptor],
        )
        with contextlib.closing(child) as found:
            for report in found:
                reports.append(report)
                on_progress(report)
                _require_number(report)
        return _written(task, reports, time.monotonic() - started)
    except TrainingError as error:
        raise TrainingError(f"{error} (log: {folder / LOG})" if (folder / LOG).exists() else str(error)) from error


def _configured(task: _Task) -> Path:
    """Write the configuration. What another recipe left is removed; what the same one left is there to continue."""
    folder, recipe = task.folder, json.dumps(task.recipe, indent=2) + "\n"
    same = (folder / RECIPE).is_file() and (folder / RECIPE).read_text(encoding="utf-8") == recipe
    if not same and folder.exists():
        if not (folder / RECIPE).is_file():
            raise UsageError(f"{str(folder)!r} exists and is not a trainer's directory; choose another --out")
        shutil.rmtree(folder)
    (folder / "out").mkdir(parents=True, exist_ok=True)
    write_text(folder / RECIPE, recipe)
    content: JsonObject = {
        "schema_version": 1,
        "run_id": task.run_id,
        "dataset": str(task.dataset.absolute()),
        "format": task.format,
        "rows": cast("JsonObject", task.rows),
        "student": str(task.student.absolute()),
        "out": str(folder / "out"),
        "progress": str(folder / "progress.jsonl"),
        "hyperparameters": task.values,
    }
    return write_text(folder / "config.json", json.dumps(content, indent=2) + "\n")


def _require_number(report: TrainProgress) -> None:
    for name, loss in (("train", report.train_loss), ("validation", report.valid_loss)):
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(
                f"the {name} loss is {loss!r} at iteration {report.iteration}: the training has diverged; "
                "lower learning_rate"
            )


def _written(task: _Task, reports: list[TrainProgress], seconds: float) -> Adapter:
    """The adapter, with what of the trainer's files can be served. The others stay in the trainer's directory."""
    model, revision = hub_name(task.student)
    with replace_directory(task.out.absolute()) as fresh:
        unservable = collect(task.folder / "out", fresh, student=task.student, final=task.out)
        adapter = Adapter(
            path=str(task.out),
            student=model,
            revision=revision,
            dataset_hash=str(task.recipe["dataset_hash"]),
            iterations=max((report.iteration for report in reports), default=task.size.iterations),
            rows=task.size.rows,
            epochs=task.size.epochs,
            losses=tuple(reports),
            peak_memory_gb=max((report.peak_memory_gb or 0.0 for report in reports), default=0.0),
            tokens_per_second=round(max((report.tokens_per_second or 0.0 for report in reports), default=0.0), 1),
            seconds=round(seconds, 1),
            trainer=shlex.join(task.command),
            unservable=unservable or None,
        )
        shutil.copyfile(task.folder / LOG, fresh / LOG)
        write_text(fresh / RECIPE, json.dumps(task.recipe, indent=2) + "\n")
        write_text(fresh / RECORD, adapter.model_dump_json(indent=2) + "\n")
    return adapter
