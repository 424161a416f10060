"""The training child, which in its third iteration needs more memory than any machine has."""

import sys
from pathlib import Path

import mlx.core as mx

from worker.train import child
from worker.train.loop import Batch, Gradient, Loop, Step

train = Loop._train


def hungry(self: Loop, step: Step, batch: Batch, accumulated: Gradient, iteration: int) -> Gradient:
    if iteration == 3:
        mx.eval(mx.ones((2**24, 2**22), dtype=mx.float32) + 1)
    return train(self, step, batch, accumulated, iteration)


Loop._train = hungry  # type: ignore[method-assign]
child.main(Path(sys.argv[1]), int(sys.argv[2]))
