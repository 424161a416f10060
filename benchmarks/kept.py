"""Measures curation against people: python benchmarks/kept.py [--set dev|held_out] [--show N]

The trajectories in tests/data/real_teacher are of a small model that often fails: a trained student of 135M parameters,
served by mlx_lm, about four code bases at two temperatures. Two readers labelled each one without seeing a verdict.
Prints their agreement, and precision and recall of curation over the trajectories on which they agree, with 95% Wilson
intervals. The set `dev` was used to write the checks, `held_out` was not.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from config.records import JsonObject, Trajectory, Verdict
from config.report.metrics import Fraction
from tests.support.tiny_student import make_tiny_student
from worker.curate.options import Options
from worker.curate.pipeline import curate

DATA = Path(__file__).parent.parent / "tests" / "data" / "real_teacher"
LENGTH = 16384  # the tiny student has one token per byte
LABELS = ("correct", "supported", "deserves")
Key = tuple[str, str]
Labels = dict[Key, tuple[JsonObject, JsonObject]]


def trajectories(name: str) -> Iterator[Trajectory]:
    """The trajectories of a set. Their tool schemas are equal and stored once."""
    tools = json.loads((DATA / "tools.json").read_text(encoding="utf-8"))
    for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        yield Trajectory.model_validate({**json.loads(line), "tools": tools})


def labels(name: str) -> Labels:
    """(run_id, job_id) -> the labels of both readers."""
    lines = (DATA / f"{name}_labels.jsonl").read_text(encoding="utf-8").splitlines()
    return {(row["run_id"], row["job_id"]): tuple(row["readers"]) for row in map(json.loads, lines)}


def verdicts(name: str) -> dict[Key, tuple[Verdict, bool | None]]:
    """The verdict on each trajectory of a set, and whether its answer has the expected facts."""
    with tempfile.TemporaryDirectory() as folder:
        student = make_tiny_student(Path(folder) / "student")
        options = Options(format="turns", max_seq_length=LENGTH)
        curated = curate(trajectories(name), out=Path(folder) / "out", options=options, student=student)
        return {(entry.run_id, entry.job_id): (entry.verdict, entry.correct) for entry in curated.entries}


def main() -> None:
    """Print agreement, precision and recall. Exit with 1 below the goals: 98% precision and 97% recall."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=("dev", "held_out"), default="held_out")
    parser.add_argument("--show", type=int, default=10, help="number of wrong verdicts to print")
    options = parser.parse_args()
    read, judged = labels(options.set), verdicts(options.set)
    for label in LABELS:
        same = sum(first[label] == second[label] for first, second in read.values())
        print(f"readers agree on {label}: {text(Fraction(count=same, of=len(read)))}")
    agreed = {key: bool(a["deserves"]) for key, (a, b) in read.items() if a["deserves"] == b["deserves"]}
    kept = [key for key in agreed if judged[key][0].kept]
    known = [key for key in kept if judged[key][1] is not None]
    deserving = [key for key in agreed if agreed[key]]
    precision = Fraction(count=sum(agreed[key] for key in known), of=len(known))
    recall = Fraction(count=sum(judged[key][0].kept for key in deserving), of=len(deserving))
    print(f"kept and deserving, of kept with a known answer: {text(precision)}")
    print(f"kept and deserving, of all kept: {text(Fraction(count=sum(agreed[key] for key in kept), of=len(kept)))}")
    print(f"kept, of deserving: {text(recall)}")
    asked = {(sample.run_id, sample.job_id): sample for sample in trajectories(options.set)}
    for key in [key for key in kept if not agreed[key]][: options.show]:
        print(f"kept: {asked[key].prompt!r} -> {asked[key].answer!r} ({read[key][0]['why']})")
    for key in [key for key in deserving if not judged[key][0].kept][: options.show]:
        found = "; ".join(f"{finding.reason.value}: {finding.detail}" for finding in judged[key][0].findings)
        print(f"rejected: {asked[key].prompt!r} -> {asked[key].answer!r} ({found})")
    sys.exit(0 if (precision.share or 0) >= 0.98 and (recall.share or 0) >= 0.97 else 1)


def text(fraction: Fraction) -> str:
    """Count, total, rate and interval."""
    if fraction.share is None or fraction.interval is None:
        return "none"
    low, high = fraction.interval
    return f"{fraction.count} of {fraction.of} = {fraction.share:.1%} (95%: {low:.1%}-{high:.1%})"


if __name__ == "__main__":
    main()
