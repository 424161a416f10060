"""Measures what each check costs: python benchmarks/check_costs.py [--code DIR] [--count 300] [--repeats 3]

Curates the same sound trajectories of pinned code with all checks, and without each check in turn, in one process.
Prints the median CPU time per trajectory of each check alone, and of the whole curation without it relative to all of
it. The last rows are replay and all checks together.
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
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each figure")
    options = parser.parse_args()
    spec = importlib.util.find_spec("celery")
    code = options.code or Path(str(spec.origin)).parent if spec else options.code
    samples = list(sound(code.resolve(), options.count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        student = make_tiny_student(folder / "student")

        def whole(without: str = "", *, replayed: bool = True) -> float:
            return median(
                options.repeats, lambda: curation(samples, folder, student, without=without, replayed=replayed)
            )

        whole()  # fills the caches
        base = whole()
        print(f"{len(samples)} trajectories, curation with all checks and replay: {base:.3f} CPU ms each")
        print(f"{'check':28} {'alone, ms':>10} {'curation without it, of all':>28}")
        for check in all_checks(max_calls=8):
            cost = median(options.repeats, lambda check=check: alone(check, samples))  # type: ignore[misc]
            print(f"{name_of(check):28} {cost:10.3f} {whole(name_of(check)) / base:28.2f}")
        print(f"{'replay':28} {'':10} {whole(replayed=False) / base:28.2f}")
        print(f"{'every check, and replay':28} {'':10} {whole('any check', replayed=False) / base:28.2f}")


if __name__ == "__main__":
    main()
