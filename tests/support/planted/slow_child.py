"""The training child whose model takes minutes to load, and which ignores SIGTERM meanwhile."""

import signal
import sys
import time
from pathlib import Path

import mlx_lm

from worker.train import child


def load(model: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("loading", model, flush=True)
    time.sleep(600)


mlx_lm.load = load
child.main(Path(sys.argv[1]), int(sys.argv[2]))
