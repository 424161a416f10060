"""The checkpoints that a training has saved beside its adapter, in mlx_lm's naming."""

import re
from dataclasses import dataclass
from pathlib import Path

NAME = re.compile(r"(\d{7,})_adapters\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """The weights after `iteration` iterations."""

    iteration: int
    path: Path


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The saved checkpoints in the order of their iterations; none if there is no such folder."""
    found = [(match, file) for file in folder.glob("*_adapters.safetensors") if (match := NAME.fullmatch(file.name))]
    return sorted((Checkpoint(int(match[1]), file) for match, file in found), key=lambda one: one.iteration)
