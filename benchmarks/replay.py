"""Measures what replay costs: python -m benchmarks.replay WORKSPACE [--count 200] [--repeats 3]

Curates the same sound trajectories of a codebase without and with replay, in turns. Prints the median CPU time of both
and the counts. The format is seed-text, which renders nothing with a student: the rest is the checks.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.sound import sound
from config.records import JsonObject, Trajectory
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.curate.replay import Replay


def timed(trajectories: list[Trajectory], folder: Path, *, replayed: bool) -> tuple[float, JsonObject | None]:
    """CPU seconds of one curation, and its counts of replayed calls."""
    replay = Replay(folder / "cache") if replayed else None
    started = time.process_time()
    done = curate(trajectories, out=folder / "out", options=Options(format="seed-text"), student=None, replay=replay)
    return time.process_time() - started, done.summary.replayed


def main() -> None:
    """Make the trajectories, curate them in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="directory with Python code")
    parser.add_argument("--count", type=int, default=200, help="number of trajectories")
    parser.add_argument("--repeats", type=int, default=3, help="curations of each kind")
    options = parser.parse_args()
    trajectories = list(sound(options.workspace.resolve(), options.count))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    counts: JsonObject | None = None
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for replayed in (False, True):
                took, found = timed(trajectories, Path(folder), replayed=replayed)
                seconds[replayed].append(took)
                counts = found or counts
    without, with_replay = (statistics.median(seconds[replayed]) for replayed in (False, True))
    print(f"{len(trajectories)} trajectories: {without:.2f} CPU s without replay, {with_replay:.2f} with it")
    print(json.dumps({"without": without, "with": with_replay, "replayed": counts}))


if __name__ == "__main__":
    main()
