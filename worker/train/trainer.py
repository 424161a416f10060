"""The train stage: trains an adapter of a student on a dataset and writes it atomically."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from config import logs
from config.atomic_files import replace_directory
from config.errors import TrainingError
from config.records import Adapter, JsonObject, TrainProgress
from worker.device.backend import installed
from worker.device.device_lock import Claim, device_lock
from worker.models.resolve import hub_name
from worker.student.cpu_blas.blas import mlx_environment
from worker.train.preflight import Plan, preflight
from worker.train.process import reports
from worker.train.recipe import LOG, RECIPE, RECORD, WEIGHTS, finished, recipe_of, require_replaceable

MLX_CONFIG = "adapter_config.json"

log = logs.get(__name__)


def train(
    dataset: Path,
    *,
    student: Path,
    out: Path,
    overrides: JsonObject,
    on_progress: Callable[[TrainProgress], None],
    cancelled: Callable[[], bool],
    file: Path | None = None,
    run_id: str = "",
) -> Adapter:
    """Train `student` on `dataset` with config/lora.yaml (or `file`) and `overrides` into the directory `out`.

    Replaces `out` only when the adapter is complete. Returns the existing adapter if dataset, student and
    hyperparameters are the same. Waits for the host's device; others that wait see `run_id`, or the name of `out`.
    Raises UsageError for bad input, DeviceError if the device cannot be claimed or `cancelled` turns true while waiting
    for it, and TrainingError if the training cannot start, fails or is cancelled. Its message names the log, which is
    then at `out`/train.log.
    """
    plan = preflight(dataset, student=student, out=out, overrides=overrides, file=file)
    recipe = recipe_of(dataset, student, plan)
    found = finished(out, recipe)
    if found:
        log.info("train.found", adapter=str(out), iterations=found.iterations)
        return found
    require_replaceable(out)
    with device_lock("training", run_id or out.absolute().name, cancelled) as claim:
        log.info(
            "train.started",
            dataset=str(dataset),
            student=str(student),
            rows=plan.rows,
            longest=plan.longest,
            epochs=plan.size.epochs,
            iterations=plan.size.iterations,
            grad_checkpoint=plan.memory.grad_checkpoint,
            needed_gb=round(plan.memory.needed / 1e9, 1),
        )
        on_progress(_planned(plan))
        adapter = _trained(dataset, student, out, plan, recipe, on_progress, cancelled, claim)
    log.info(
        "train.finished",
        adapter=str(out),
        iterations=adapter.iterations,
        seconds=adapter.seconds,
        backend=adapter.backend,
    )
    return adapter


def _planned(plan: Plan) -> TrainProgress:
    """The report that precedes the training."""
    return TrainProgress(
        iteration=0,
        iterations=plan.size.iterations,
        rows=plan.size.rows,
        epochs=plan.size.epochs,
        needed_gb=round(plan.memory.needed / 1e9, 1),
        grad_checkpoint=plan.memory.grad_checkpoint,
    )


def _trained(
    dataset: Path,
    student: Path,
    out: Path,
    plan: Plan,
    recipe: JsonObject,
    on_progress: Callable[[TrainProgress], None],
    cancelled: Callable[[], bool],
    claim: Claim,
) -> Adapter:
    started = time.monotonic()
    with replace_directory(out.absolute()) as fresh, _log_kept(fresh, out):
        backend, losses = _losses(dataset, student, fresh, plan, on_progress, cancelled, claim)
        model, revision = hub_name(student)
        adapter = Adapter(
            path=str(out),
            student=model,
            revision=revision,
            dataset_hash=str(recipe["dataset_hash"]),
            iterations=plan.size.iterations,
            rows=plan.size.rows,
            epochs=plan.size.epochs,
            losses=tuple(losses),
            peak_memory_gb=max((line.peak_memory_gb or 0.0 for line in losses), default=0.0),
            tokens_per_second=_mean_rate(losses),
            seconds=round(time.monotonic() - started, 1),
            backend=backend,
        )
        _seal(fresh, out, adapter, recipe)
    return adapter


def _losses(
    dataset: Path,
    student: Path,
    fresh: Path,
    plan: Plan,
    on_progress: Callable[[TrainProgress], None],
    cancelled: Callable[[], bool],
    claim: Claim,
) -> tuple[str | None, list[TrainProgress]]:
    """The backend that mlx loaded, and the reports of progress."""
    paths: JsonObject = {"model": str(student), "data": str(dataset), "adapter_path": str(fresh)}
    config = fresh / "child.json"
    config.write_text(json.dumps({**plan.hyperparameters, **paths}), encoding="utf-8")
    environment = {**os.environ, **mlx_environment()}
    backend, losses = None, []
    child = reports(config, environment=environment, log_file=fresh / LOG, cancelled=cancelled, keep=[claim.descriptor])
    with contextlib.closing(child) as lines:
        for line in lines:
            body = json.loads(line)
            if "backend" in body:  # the first line
                backend = str(body["backend"])
                _log_backend(backend)
                continue
            progress = TrainProgress.model_validate(body)
            losses.append(progress)
            on_progress(progress)
            _require_number(progress)
    config.unlink()
    return backend, losses


def _log_backend(backend: str) -> None:
    found = installed()
    if backend == "cpu" and found.cuda_is_overwritten:
        log.warning(
            "train.backend", backend=backend, reason="the CPU build of mlx replaced CUDA's", remedy=found.repair
        )
    else:
        log.info("train.backend", backend=backend)


def _require_number(progress: TrainProgress) -> None:
    for name, loss in (("train", progress.train_loss), ("validation", progress.valid_loss)):
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(
                f"the {name} loss is {loss!r} at iteration {progress.iteration}: the training has diverged; "
                "lower learning_rate"
            )


def _mean_rate(losses: list[TrainProgress]) -> float:
    """Tokens per second over the whole training, from the tokens and rate of each report."""
    tokens, seconds, before = 0, 0.0, 0
    for line in losses:
        if line.trained_tokens is not None and line.tokens_per_second:
            tokens, seconds = line.trained_tokens, seconds + (line.trained_tokens - before) / line.tokens_per_second
            before = line.trained_tokens
    return round(tokens / seconds, 1) if seconds else 0.0


def _seal(fresh: Path, out: Path, adapter: Adapter, recipe: JsonObject) -> None:
    """Write the records of a finished adapter."""
    if not (fresh / WEIGHTS).is_file():
        raise TrainingError(f"training ended without {WEIGHTS}")
    mlx_config = json.loads((fresh / MLX_CONFIG).read_text(encoding="utf-8"))
    mlx_config["adapter_path"] = str(out)
    for name, content in (
        (MLX_CONFIG, json.dumps(mlx_config, indent=4)),
        (RECIPE, json.dumps(recipe, indent=2)),
        (RECORD, adapter.model_dump_json(indent=2)),
    ):
        (fresh / name).write_text(content + "\n", encoding="utf-8")


@contextlib.contextmanager
def _log_kept(fresh: Path, out: Path) -> Iterator[None]:
    """Move the log of a failed training to `out`, and name its place in the error.

    Everything else of an adapter already in `out` is not changed.
    """
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{error}{_keep_log(fresh, out)}") from error
    except BaseException:
        _keep_log(fresh, out)
        raise


def _keep_log(fresh: Path, out: Path) -> str:
    """Move the log to `out`; returns where it is, for an error message, "" if the training has not written one."""
    log_file, kept = fresh / LOG, out.absolute() / LOG
    if not log_file.exists():
        return ""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        log_file.replace(kept)
    except OSError as error:
        return f" (its log could not be kept at {str(kept)!r}: {error.strerror or error})"
    return f" (log: {kept})"
