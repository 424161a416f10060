"""The train stage: trains an adapter of a student on a dataset and writes it atomically.

An interrupted training leaves its checkpoints beside the adapter (checkpoints.py); the next one of the same dataset,
student and hyperparameters goes on from the last.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config import logs
from config.environment import outside_environment
from config.errors import TrainingError
from config.records import Adapter, JsonObject, TrainProgress
from worker.device.backend import installed
from worker.device.device_lock import Claim, device_lock
from worker.device.room import DISK_FULL
from worker.models.resolve import hub_name
from worker.student.cpu_blas.blas import mlx_environment
from worker.train import checkpoints, failures
from worker.train.checkpoints import Checkpoint
from worker.train.file_names import LOG
from worker.train.kept_log import log_kept
from worker.train.preflight import Plan, preflight
from worker.train.process import reports
from worker.train.recipe import finished, recipe_of, require_replaceable, write_adapter

log = logs.get(__name__)


@dataclass(frozen=True)
class Training:
    """One training that passed its checks."""

    dataset: Path
    student: Path
    out: Path
    plan: Plan
    recipe: JsonObject

    @property
    def folder(self) -> Path:
        """The directory of its checkpoints."""
        return checkpoints.folder_of(self.out)

    def last(self) -> int:
        """Iteration of its last checkpoint; 0 without one."""
        return max((found.iteration for found in checkpoints.checkpoints(self.folder)), default=0)


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
    hyperparameters are the same; goes on from the last checkpoint of an interrupted training if they are.
    Waits for the host's device; others that wait see `run_id`, or the name of `out`.
    The weights of earlier checkpoints stay beside the adapter's, as NNNNNNN_adapters.safetensors.
    Raises UsageError for bad input, DeviceError if the device cannot be claimed or `cancelled` turns true while waiting
    for it, and TrainingError if the training cannot start, fails or is cancelled. Its message names the log, which is
    then at `out`/train.log.
    """
    plan = preflight(dataset, student=student, out=out, overrides=overrides, file=file, cancelled=cancelled)
    training = Training(dataset, student, out, plan, recipe_of(dataset, student, plan))
    done = finished(out, training.recipe)
    if done:
        log.info("train.found", adapter=str(out), iterations=done.iterations)
        checkpoints.remove(training.folder)  # of a worker that was killed just before
        return done
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
        with log_kept(training.folder / LOG, training.out), _disk_errors(training):
            started = time.monotonic()
            resume = next(reversed(checkpoints.open_folder(training.folder, training.recipe)), None)
            earlier = resume.state.seconds if resume else 0.0  # read now: newer checkpoints replace it
            backend, losses = _losses(training, resume, on_progress, cancelled, claim)
            seconds = time.monotonic() - started + earlier
            adapter = _written(training, backend, losses, seconds)
    checkpoints.remove(training.folder)
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


def _losses(
    training: Training,
    resume: Checkpoint | None,
    on_progress: Callable[[TrainProgress], None],
    cancelled: Callable[[], bool],
    claim: Claim,
) -> tuple[str | None, list[TrainProgress]]:
    """Run the child. Returns the backend that mlx loaded, and the reports, also those before an interruption."""
    plan, folder = training.plan, training.folder
    config = _configured(training, resume)
    environment = {**outside_environment(), **mlx_environment()}
    backend, losses = None, []
    child = reports(
        config,
        environment=environment,
        log_file=folder / LOG,
        cancelled=cancelled,
        explain=lambda ending: failures.failed(
            ending, plan.hyperparameters, plan.longest, backend=backend, resumes=training.last()
        ),
        keep=[claim.descriptor],
    )
    with contextlib.closing(child) as lines:
        for line in lines:
            body = json.loads(line)
            if "failure" in body:
                raise _stopped(training, str(body["failure"]), str(body["detail"]))
            if "backend" in body:  # the first line
                backend = str(body["backend"])
                _log_backend(backend)
                continue
            progress = TrainProgress.model_validate(body)
            losses.append(progress)
            on_progress(progress)
    return backend, losses


def _configured(training: Training, resume: Checkpoint | None) -> Path:
    """Write the child's configuration: what to train, and the checkpoint to go on from."""
    folder = training.folder
    if resume:
        log.info("train.resumed", iteration=resume.iteration, iterations=training.plan.size.iterations)
    paths: JsonObject = {"model": str(training.student), "data": str(training.dataset), "adapter_path": str(folder)}
    content: JsonObject = {
        "hyperparameters": {**training.plan.hyperparameters, **paths},
        "folder": str(folder),
        "resume": str(resume.path) if resume else None,
    }
    config = folder / "child.json"
    config.write_text(json.dumps(content), encoding="utf-8")
    return config


def _stopped(training: Training, failure: str, detail: str) -> TrainingError:
    """The error for a failure that the child reports."""
    plan = training.plan
    match failure:
        case "diverged":
            return failures.diverged(detail, plan.hyperparameters)
        case "memory":
            what = f"the training ran out of memory{f' ({detail})' if detail else ''}"
            return failures.out_of_memory(what, plan.hyperparameters, plan.longest)
        case "disk":
            return failures.out_of_disk(training.folder.parent, plan.disk, resumes=training.last())
    return TrainingError(f"training ended: {detail}")


def _log_backend(backend: str) -> None:
    found = installed()
    if backend == "cpu" and found.cuda_is_overwritten:
        log.warning(
            "train.backend", backend=backend, reason="the CPU build of mlx replaced CUDA's", remedy=found.repair
        )
    else:
        log.info("train.backend", backend=backend)


def _written(training: Training, backend: str | None, losses: list[TrainProgress], seconds: float) -> Adapter:
    """Write the adapter from the last checkpoint."""
    chosen = checkpoints.checkpoints(training.folder)[-1]
    plan, out = training.plan, training.out
    model, revision = hub_name(training.student)
    adapter = Adapter(
        path=str(out),
        student=model,
        revision=revision,
        dataset_hash=str(training.recipe["dataset_hash"]),
        iterations=chosen.iteration,
        rows=plan.size.rows,
        epochs=plan.size.epochs,
        losses=tuple(line.model_copy(update={"seconds": None}) for line in losses),
        peak_memory_gb=max((line.peak_memory_gb or 0.0 for line in losses), default=0.0),
        tokens_per_second=_mean_rate(losses),
        seconds=round(seconds, 1),
        backend=backend,
    )
    earlier = [saved for saved in checkpoints.all_weights(training.folder) if saved.iteration < chosen.iteration]
    write_adapter(adapter, chosen.path, training.recipe, training.folder / LOG, earlier)
    return adapter


def _mean_rate(losses: list[TrainProgress]) -> float:
    """Tokens per second over the whole training, from the tokens and rate of each report."""
    tokens, seconds, before = 0, 0.0, 0
    for line in losses:
        if line.trained_tokens is not None and line.tokens_per_second:
            tokens, seconds = line.trained_tokens, seconds + (line.trained_tokens - before) / line.tokens_per_second
            before = line.trained_tokens
    return round(tokens / seconds, 1) if seconds else 0.0


@contextlib.contextmanager
def _disk_errors(training: Training) -> Iterator[None]:
    """Translate a full disk into a TrainingError. The adapter that was there, and the checkpoints, are unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise failures.out_of_disk(training.folder.parent, training.plan.disk, resumes=training.last()) from error
