"""An audit's result, for programs and for people."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from config.records import JsonObject
from worker.curate.audit.faults import MEANING, NOTES, AuditFault
from worker.curate.audit.tally import Tally

SHOWN_ROWS = 12  # row numbers of one finding on a terminal; --json has them all


@dataclass(frozen=True)
class Audit:
    """The counts and findings of a training set."""

    files: dict[str, Path]
    tally: Tally
    counted_leaks: Mapping[str, int] = field(default_factory=dict)
    """per pair of splits: questions or subjects in both, as counted by the set's own dataset.json"""

    @property
    def clean(self) -> bool:
        """True when no fault was found; notes are not faults."""
        return all(fault in NOTES for fault, _ in self.tally.findings.found)

    def as_json(self) -> JsonObject:
        """Every count and every finding with all its row numbers."""
        splits, findings = self.tally.splits, self.tally.findings
        rows = sum(split.rows for split in splits.values())
        pairs = [f"{first}-{second}" for first, second in combinations(splits, 2)]
        return {
            "rows": {name: split.rows for name, split in splits.items()},
            "duplicates": {name: split.rows - len(split.seen) for name, split in splits.items()},
            "leaked_rows": {pair: self.tally.leaked_rows[pair] for pair in pairs},
            "leaked_questions": {pair: self.tally.leaked_questions[pair] for pair in pairs},
            "counted_leaks": dict(self.counted_leaks),
            "repeated_questions": {
                name: self.tally.findings.count(AuditFault.REPEATED_QUESTION, name) for name in splits
            },
            "no_system": {name: split.no_system for name, split in splits.items()},
            "lost_call_rows": {name: split.lost_call_rows for name, split in splits.items()},
            "empty_argument_calls": self.tally.empty_argument_calls,
            "placeholder_rows": self._total(AuditFault.PLACEHOLDER),
            "secret_rows": self._total(AuditFault.SECRET),
            "unanswered_calls": self._total(AuditFault.UNANSWERED_CALL),
            "calls_without_result": self._total(AuditFault.CALL_WITHOUT_RESULT),
            "notations": dict(self._notations()),
            "tool_share": round(sum(split.with_calls for split in splits.values()) / rows, 4) if rows else 0.0,
            "unreadable": self._total(AuditFault.UNREADABLE),
            "files": {name: str(file) for name, file in self.files.items()},
            "findings": list(findings.as_json()),
            "clean": self.clean,
        }

    def as_text(self) -> str:
        """The counts and findings as text for a terminal."""
        body = self.as_json()
        lines = [f"{name:>8}  {split.rows} rows in {self.files[name]}" for name, split in self.tally.splits.items()]
        notations = ", ".join(f"{name} {count}" for name, count in self._notations().items()) or "none"
        lines += [f"rows with a call: {body['tool_share']:.1%}    notations: {notations}"]
        for name, split in self.tally.splits.items():
            if split.lost_call_rows:
                lines.append(f"{name}: {split.lost_call_rows} rows have their call in an earlier turn than the last")
        if self.clean:
            lines.append("no faults found")
        found = self._findings()
        return "\n".join([*lines, *(["", *found] if found else [])])

    def _findings(self) -> list[str]:
        lines = []
        order = list(AuditFault)
        for (fault, split), found in sorted(self.tally.findings.found.items(), key=lambda i: order.index(i[0][0])):
            rows = ", ".join(str(row) for row in found.rows[:SHOWN_ROWS])
            more = f" and {len(found.rows) - SHOWN_ROWS} more" if len(found.rows) > SHOWN_ROWS else ""
            lines.append(f"{found.count:>8}  {fault.value} in {split}: {MEANING[fault]}")
            same = f" (the first is the same as {found.same_as[0]})" if found.same_as else ""
            if rows:
                lines.append(f"          rows {rows}{more}{same}")
            if found.example:
                lines.append(f"          {found.example}")
        return lines

    def _notations(self) -> Counter[str]:
        return Counter(
            {
                notation.value: sum(len(split.notations.get(notation, ())) for split in self.tally.splits.values())
                for notation in sorted({n for split in self.tally.splits.values() for n in split.notations})
            }
        )

    def _total(self, fault: AuditFault) -> int:
        return sum(self.tally.findings.count(fault, split) for split in self.tally.splits)
