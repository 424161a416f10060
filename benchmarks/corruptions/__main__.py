"""Measures how many faults of teachers and datasets curation catches: python -m benchmarks.corruptions [--each N]

Sound trajectories come from real code at a pinned commit and the real tools. Each kind of fault is planted in some of
them, in half of these without the `expect` of the prompt (but for arithmetic and units, which nothing else
contradicts). The whole curate stage runs on the sound sets and, apart from them, on the planted faults. "caught" counts
any reason that the sound original does not have, "named" only a true one.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.corruptions.measure import Table, make_sets, measure
from benchmarks.corruptions.pinned_code import make_code

CAUGHT = 0.97  # share of the planted faults; the goals of the benchmark
REJECTED = 0.01  # share of each sound set


def main() -> None:
    """Print the table. Exit with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=_package, default="celery", help="package or directory that is asked about")
    parser.add_argument("--foreign", type=_package, default="kombu", help="package or directory of the other project")
    parser.add_argument("--sound", type=int, default=450, help="trajectories per sound set")
    parser.add_argument("--each", type=int, default=30, help="trajectories per kind of fault")
    parser.add_argument("--kind", action="append", help="only kinds with this text in their name; may be repeated")
    parser.add_argument("--show", type=int, default=0, help="examples per kind and set on stderr: misses, rejections")
    parser.add_argument("--review", action="store_true", help="show planted examples on stderr instead of misses")
    parser.add_argument("--no-replay", action="store_true", help="as where the pinned code is not on the machine")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        code = make_code(options.code, options.foreign, Path(folder) / "pinned")
        sets = make_sets(code, options.sound, options.seed)
        table = measure(
            code,
            sets,
            options.each,
            options.seed,
            Path(folder) / "curated",
            only=options.kind or [],
            replay=not options.no_replay,
        )
    table.show(options.show, review=options.review)
    print(table.text())
    if options.json:
        print(json.dumps(table.as_json()))
    sys.exit(0 if _reached(table) else 1)


def _reached(table: Table) -> bool:
    return table.share_caught >= CAUGHT and all(len(r) <= REJECTED * n for r, n in table.rejected.values())


def _package(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise argparse.ArgumentTypeError(f"{name!r} is neither a directory nor an installed package")
    return Path(spec.origin).parent


if __name__ == "__main__":
    main()
