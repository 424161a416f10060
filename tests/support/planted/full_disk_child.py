"""The training child on a disk that is full after the first checkpoint: later writes of mlx fail part of the way."""

import resource
import sys
from pathlib import Path

from worker.train import checkpoints, child
from worker.train.checkpoints import Checkpoint, State

LIMIT = 20_000  # bytes of a file: more than the log, less than the weights
save = checkpoints.save


def save_then_fill(folder: Path, state: State, write: checkpoints.Writer) -> Checkpoint:
    saved = save(folder, state, write)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    return saved


checkpoints.save = save_then_fill
child.main(Path(sys.argv[1]), int(sys.argv[2]))
