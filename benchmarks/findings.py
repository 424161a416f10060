"""Precision and recall of each finding on the labelled answers: python -m benchmarks.findings [--part P] [--json].

The answers and their labels are in tests/data/labelled_findings.jsonl; labelled_findings.md says how they were made.
`--wrong` lists every answer on which the detectors and the labels differ.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.report.metrics import wilson
from worker.evaluate.findings.names import AnswerFault
from worker.evaluate.record_fields import is_single, needs_tools
from worker.evaluate.recorded import to_trajectory
from worker.evaluate.score import observe

LABELLED = Path(__file__).resolve().parents[1] / "tests" / "data" / "labelled_findings.jsonl"
PARTS = ("tuning", "held_out")


@dataclass(frozen=True)
class Labelled:
    """One labelled answer with what the detectors found."""

    id: str
    part: str
    labels: frozenset[str]
    found: frozenset[str]


@dataclass(frozen=True)
class Agreement:
    """How often a finding and its label agree."""

    finding: str
    both: int
    found: int
    labelled: int

    @property
    def precision(self) -> float:
        """Share of the findings that are labelled; 1 without any."""
        return self.both / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the labels that are found; 1 without any."""
        return self.both / self.labelled if self.labelled else 1.0

    def row(self) -> str:
        """One line: name, n, precision and recall with their 95% intervals."""
        rates = (
            f"{share:6.1%} ({low:.0%}-{high:.0%})" if of else "-"
            for share, of in ((self.precision, self.found), (self.recall, self.labelled))
            for low, high in [wilson(self.both, of) if of else (0, 1)]
        )
        return f"{self.finding:<22}{self.labelled:>4}  " + "  ".join(f"{rate:<18}" for rate in rates).rstrip()


def read(path: Path = LABELLED, parts: Sequence[str] = PARTS) -> list[Labelled]:
    """The labelled answers of the parts, with the findings of today's detectors."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [_scored(row) for row in rows if row["part"] in parts]


def _scored(row: dict[str, object]) -> Labelled:
    record, labels = row["record"], row["findings"]
    assert isinstance(record, dict)
    assert isinstance(labels, list)
    trajectory = to_trajectory(record, run_id="labelled", number=int(str(row["id"])))
    needs = trajectory.requires_tools if "outcome" in record else needs_tools(record)
    found = observe(trajectory, needs_tools=needs, single=is_single(record)).found
    return Labelled(str(row["id"]), str(row["part"]), frozenset(labels), frozenset(one.fault.value for one in found))


def agreements(answers: Iterable[Labelled]) -> list[Agreement]:
    """One per finding name."""
    rows = list(answers)
    return [
        Agreement(
            name,
            both=sum(name in row.labels & row.found for row in rows),
            found=sum(name in row.found for row in rows),
            labelled=sum(name in row.labels for row in rows),
        )
        for name in map(str, AnswerFault)
    ]


def main() -> None:
    """Print the table of each part, and of both together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, help="only this part; default: both, each on its own and together")
    parser.add_argument("--wrong", action="store_true", help="list the answers on which detectors and labels differ")
    parser.add_argument("--json", action="store_true", help="last line of stdout is one JSON object")
    given = parser.parse_args()
    tables = [(given.part,)] if given.part else [*((part,) for part in PARTS), PARTS]
    for parts in tables:
        answers = read(parts=parts)
        print(f"\n{' and '.join(parts)}: {len(answers)} answers")
        print(f"{'finding':<22}{'n':>4}  {'precision (95%)':<18}  recall (95%)")
        for agreement in agreements(answers):
            print(agreement.row())
        exact = sum(row.labels == row.found for row in answers)
        print(f"answers with exactly the labelled findings: {exact} of {len(answers)}")
    if given.wrong:
        for row in (row for row in read(parts=tables[-1]) if row.labels != row.found):
            missing, extra = sorted(row.labels - row.found), sorted(row.found - row.labels)
            print(f"{row.id} ({row.part}): missing {missing}, extra {extra}")
    if given.json:
        both = agreements(read(parts=tables[-1]))
        print(json.dumps({a.finding: {"n": a.labelled, "precision": a.precision, "recall": a.recall} for a in both}))


if __name__ == "__main__":
    main()
