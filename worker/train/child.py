"""The training process: python -m worker.train.child CONFIG.json DESCRIPTOR

CONFIG.json contains mlx_lm's options, including model, data and adapter_path, as "hyperparameters"; the directory of
the checkpoints as "folder"; and as "resume" the checkpoint to go on from, or
null. The descriptor receives JSON lines: {"backend"} first, then TrainProgress, and {"failure", "detail"} if the
training has to stop. A failure is sent there because a log on a full disk holds nothing.
"""

import errno
import json
import os
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx_lm
import numpy as np
from mlx.nn.layers.base import Module
from mlx.optimizers import Optimizer
from mlx_lm import lora
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tuner.datasets import ChatDataset, TextDataset, create_dataset
from mlx_lm.tuner.trainer import TrainingArgs

from config.records import JsonObject, TrainProgress
from worker.device.mlx_limits import bound_memory
from worker.device.room import DISK_FULL
from worker.student import fenced_json
from worker.train import checkpoints
from worker.train.checkpoints import State, Writer
from worker.train.dataset_check import SPLITS, read_rows
from worker.train.file_names import MLX_CONFIG
from worker.train.loop import DivergedError, Loop
from worker.train.sequences import TrainingSequence, merge

UNWRITTEN = "[write] Unable to write"  # mlx's RuntimeError, which has no error number


class Reporter:
    """Writes lines of JSON for the worker."""

    def __init__(self, descriptor: int) -> None:
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)  # line-buffered

    def progress(self, progress: TrainProgress) -> None:
        """One report, also to the log."""
        values = progress.model_dump(exclude_none=True)
        print(", ".join(f"{key} {value:g}" for key, value in values.items()), flush=True)  # noqa: T201 - to its log
        self.line(values)

    def line(self, values: Mapping[str, object]) -> None:
        """Any line. Keeps NaN, which pydantic's JSON does not."""
        self._stream.write(json.dumps(values) + "\n")


def backend() -> str:
    """What mlx computes on in this process: metal, cuda or cpu."""
    if mx.default_device().type != mx.DeviceType.gpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def train(config: JsonObject, reporter: Reporter) -> None:
    """Load the model and train; the last checkpoint holds the trained adapter.

    Raises DivergedError, and OSError when a checkpoint cannot be written.
    """
    began = time.monotonic()
    options = cast("JsonObject", config["hyperparameters"])
    args = types.SimpleNamespace(**{**lora.CONFIG_DEFAULTS, **options, "train": True})
    reporter.line({"backend": backend()})
    np.random.seed(args.seed)  # mlx_lm draws its batches from numpy's global generator
    bound_memory()
    fenced_json.register()  # students may use it as tool parser
    model, tokenizer = mlx_lm.load(args.model)[:2]
    args.num_layers = min(args.num_layers, len(model.layers))
    training, validation, test = datasets(args, tokenizer)
    # mlx_lm's train_model makes the LoRA layers, the optimizer and its schedule, then calls this.
    lora.train = loop_of(config, reporter, began, sequences(training), sequences(validation))  # type: ignore[attr-defined]
    lora.train_model(args, model, training, validation)
    if args.test:
        lora.evaluate_model(args, model, test)


def sequences(dataset: Sized) -> list[TrainingSequence]:
    """The merged rows of a split."""
    if not len(dataset):
        return []
    rows = cast("ChatDataset | TextDataset", dataset)
    return merge(rows.process(rows[number]) for number in range(len(rows)))  # type: ignore[no-untyped-call]


def loop_of(
    config: JsonObject,
    reporter: Reporter,
    began: float,
    training: Sequence[TrainingSequence],
    validation: Sequence[TrainingSequence],
) -> Callable[..., None]:
    """A function with the arguments of mlx_lm's training loop that runs this project's."""
    folder = Path(str(config["folder"]))
    resume = next((one for one in checkpoints.checkpoints(folder) if str(one.path) == config["resume"]), None)

    def save(state: State, write: Writer) -> None:
        def with_config(place: Path) -> None:
            (place / MLX_CONFIG).write_bytes((folder / MLX_CONFIG).read_bytes())
            with translated_errors(place):
                write(place)

        checkpoints.save(folder, state, with_config)

    def run(*, model: Module, args: TrainingArgs, optimizer: Optimizer, **_: object) -> None:
        Loop(model, optimizer, args, reporter.progress, save, resume, began=began).run(training, validation)

    return run


@contextmanager
def translated_errors(place: Path) -> Iterator[None]:
    """Translate mlx's error for a file that it could not write into an OSError."""
    try:
        yield
    except RuntimeError as error:
        if UNWRITTEN not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place)) from error


def datasets(args: types.SimpleNamespace, tokenizer: TokenizerWrapper) -> list[Sized]:
    """The splits as mlx_lm trains on them; an empty or missing file is an empty split.

    mlx_lm's own load_dataset raises an IndexError on an empty file, even of a split that the training does not use.
    """
    rows = [read_rows(Path(args.data) / f"{split}.jsonl") for split in SPLITS]
    return [create_dataset(found, tokenizer, args) if found else [] for found in rows]  # type: ignore[arg-type]  # too narrow


def main(config: Path, descriptor: int) -> None:
    """Train, and send the reason where the training has to stop for one that is known."""
    reporter = Reporter(descriptor)
    try:
        train(json.loads(config.read_text(encoding="utf-8")), reporter)
    except DivergedError as error:
        reporter.line({"failure": "diverged", "detail": str(error)})
        raise
    except MemoryError as error:
        reporter.line({"failure": "memory", "detail": str(error)})
        raise
    except OSError as error:
        if error.errno in DISK_FULL:
            reporter.line({"failure": "disk", "detail": str(error)})
        raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
