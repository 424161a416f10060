"""Weights that a training saved on its way, beside the adapter: NNNNNNN_adapters.safetensors, as mlx_lm names them."""

import re
from dataclasses import dataclass
from pathlib import Path

from worker.train.file_names import WEIGHTS

NAME = re.compile(rf"(\d{{7,}})_{re.escape(WEIGHTS)}")


@dataclass(frozen=True)
class SavedWeights:
    """The adapter's weights after `iteration` iterations."""

    iteration: int
    path: Path


def saved_name(iteration: int) -> str:
    """The file name of the weights after so many iterations."""
    return f"{iteration:07d}_{WEIGHTS}"


def saved_weights(adapter: Path) -> list[SavedWeights]:
    """All saved weights in the order of their iterations; none if there is no such directory."""
    found = [(match, file) for file in adapter.glob(f"*_{WEIGHTS}") if (match := NAME.fullmatch(file.name))]
    return sorted((SavedWeights(int(match[1]), file) for match, file in found), key=lambda one: one.iteration)
