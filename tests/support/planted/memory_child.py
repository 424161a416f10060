"""The training child in a control group of TEST_CGROUP, whose memory it exceeds in its third iteration."""

import os
import sys
from pathlib import Path

from worker.train import child
from worker.train.loop import Batch, Gradient, Loop, Step

train = Loop._train


def hungry(self: Loop, step: Step, batch: Batch, accumulated: Gradient, iteration: int) -> Gradient:
    if iteration == 3:
        (Path(os.environ["TEST_CGROUP"]) / "cgroup.procs").write_text(str(os.getpid()))
        bytearray(1_000_000_000)[::4096] = b"x" * (1_000_000_000 // 4096 + 1)
    return train(self, step, batch, accumulated, iteration)


Loop._train = hungry  # type: ignore[method-assign]
child.main(Path(sys.argv[1]), int(sys.argv[2]))
