"""Measures what each check costs: python benchmarks/check_costs.py [--code DIR] [--count 300] [--repeats 3]

Curates the same sound trajectories of pinned code with every check, and right after it without one of them, in one
process. Prints the median CPU time per trajectory of each check alone, and the median ratio of the curation without it
to the one with it. The last lines are the curation without any check, and with replay.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.sound import sound
from config.records import Trajectory
from tests.support.tiny_student import make_tiny_student
from worker.curate import pipeline
from worker.curate.checks import Check, all_checks
from worker.curate.options import Options
from worker.curate.replay import Replay

LENGTH = 16384  # the tiny student has about two characters per token


def name_of(check: Check) -> str:
    """The function's name; a check with an option is a closure in the function that makes it."""
    parts = check.__qualname__.split(".")
    return parts[0]


def curation(samples: list[Trajectory], folder: Path, student: Path, *, without: str, replayed: bool) -> float:
    """CPU milliseconds per trajectory of one curation."""

    def some_checks(**options: object) -> tuple[Check, ...]:
        made = all_checks(**options)  # type: ignore[arg-type]
        return tuple(check for check in made if without != "any check" and name_of(check) != without)

    replay = Replay(folder / "cache") if replayed else None
    options = Options(max_seq_length=LENGTH)
    with patch.object(pipeline, "all_checks", some_checks):
        started = time.process_time()
        pipeline.curate(samples, out=folder / "out", options=options, student=student, replay=replay)
        return 1000 * (time.process_time() - started) / len(samples)


def alone(check: Check, samples: list[Trajectory]) -> float:
    """CPU milliseconds per trajectory of one check."""
    started = time.process_time()
    for sample in samples:
        list(check(sample))
    return 1000 * (time.process_time() - started) / len(samples)


def median(repeats: int, measure: Callable[[], float]) -> float:
    """The median of several measurements."""
    return statistics.median(measure() for _ in range(repeats))


def main() -> None:
    """Make the trajectories, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path, help="code that the questions are about; default: the installed celery")
    parser.add_argument("--count", type=int, default=300, help="number of trajectories")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each figure")
    options = parser.parse_args()
    spec = importlib.util.find_spec("celery")
    code = options.code or Path(str(spec.origin)).parent if spec else options.code
    samples = list(sound(code.resolve(), options.count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        student = make_tiny_student(folder / "student")

        def whole(without: str = "", *, replayed: bool = False) -> float:
            return curation(samples, folder, student, without=without, replayed=replayed)

        def ratio(without: str = "", *, replayed: bool = False) -> float:
            """The curation relative to one with every check and no replay, just before it."""
            return median(options.repeats, lambda: (1 / whole()) * whole(without, replayed=replayed))

        whole(replayed=True)  # fills the caches
        base = median(options.repeats, whole)
        print(f"{len(samples)} trajectories, curation with every check and without replay: {base:.3f} CPU ms each")
        print(f"{'check':28} {'alone, ms':>10} {'curation without it':>20}")
        for check in all_checks(max_calls=8):
            cost = median(options.repeats, lambda check=check: alone(check, samples))  # type: ignore[misc]
            print(f"{name_of(check):28} {cost:10.3f} {ratio(name_of(check)):20.2f}", flush=True)
        print(f"{'every check':28} {'':10} {ratio('any check'):20.2f}")
        print(f"curation with replay: {ratio(replayed=True):.2f} times that without")


if __name__ == "__main__":
    main()
