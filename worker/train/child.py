"""The training process: python -m worker.train.child CONFIG.json DESCRIPTOR

CONFIG.json contains mlx_lm's options, including model, data and adapter_path. Each report is written to the descriptor
as one JSON line of TrainProgress. mlx_lm prints its own table to stdout.
"""

import json
import os
import sys
import types
from collections.abc import Sized
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
from mlx_lm import lora
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.datasets import create_dataset

from config.records import JsonObject, TrainProgress
from worker.device.mlx_limits import bound_memory
from worker.student import fenced_json
from worker.train.preflight import SPLITS, read_rows


class Progress(TrainingCallback):
    """Writes mlx_lm's reports as TrainProgress lines."""

    def __init__(self, descriptor: int, iterations: int) -> None:
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)  # line-buffered
        self._iterations = iterations

    def on_train_loss_report(self, train_info: dict[str, float]) -> None:
        """Called every steps_per_report iterations."""
        self._write(
            TrainProgress(
                iteration=int(train_info["iteration"]),
                iterations=self._iterations,
                train_loss=train_info["train_loss"],
                learning_rate=train_info["learning_rate"],
                tokens_per_second=train_info["tokens_per_second"],
                iterations_per_second=train_info["iterations_per_second"],
                trained_tokens=int(train_info["trained_tokens"]),
                peak_memory_gb=train_info["peak_memory"],
            )
        )

    def on_val_loss_report(self, val_info: dict[str, float]) -> None:
        """Called before the first iteration, every steps_per_eval iterations and at the end."""
        iteration = int(val_info["iteration"])
        self._write(TrainProgress(iteration=iteration, iterations=self._iterations, valid_loss=val_info["val_loss"]))

    def on_backend(self, name: str) -> None:
        """Called once, before the model is loaded."""
        self._stream.write(json.dumps({"backend": name}) + "\n")

    def _write(self, progress: TrainProgress) -> None:
        self._stream.write(
            json.dumps(progress.model_dump(exclude_none=True)) + "\n"
        )  # keeps NaN; pydantic's JSON does not


def backend() -> str:
    """What mlx computes on in this process: metal, cuda or cpu."""
    if mx.default_device().type != mx.DeviceType.gpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def train(hyperparameters: JsonObject, progress_fd: int) -> None:
    """Load the model, train and save the adapter."""
    args = types.SimpleNamespace(**{**lora.CONFIG_DEFAULTS, **hyperparameters, "train": True})
    progress = Progress(progress_fd, args.iters)
    progress.on_backend(backend())
    np.random.seed(args.seed)  # mlx_lm draws its batches from numpy's global generator
    bound_memory()
    fenced_json.register()  # students may use it as tool parser
    model, tokenizer = mlx_lm.load(args.model)[:2]
    args.num_layers = min(args.num_layers, len(model.layers))
    training, validation, test = datasets(args, tokenizer)
    lora.train_model(args, model, training, validation, progress)
    if args.test:
        lora.evaluate_model(args, model, test)


def datasets(args: types.SimpleNamespace, tokenizer: TokenizerWrapper) -> list[Sized]:
    """The splits as mlx_lm trains on them; an empty or missing file is an empty split.

    mlx_lm's own load_dataset raises an IndexError on an empty file, even of a split that the training does not use.
    """
    rows = [read_rows(Path(args.data) / f"{split}.jsonl") for split in SPLITS]
    return [create_dataset(found, tokenizer, args) if found else [] for found in rows]  # type: ignore[arg-type]  # too narrow


if __name__ == "__main__":
    train(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), int(sys.argv[2]))
