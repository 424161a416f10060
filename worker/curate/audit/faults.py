"""What an audit can find, each kind with what it means for the student, and where it was found."""

from dataclasses import dataclass, field
from enum import StrEnum

from config.records import JsonObject


class AuditFault(StrEnum):
    """A kind of fault."""

    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    LEAKED_ROW = "leaked_row"
    LEAKED_QUESTION = "leaked_question"
    COUNTED_LEAK = "counted_leak"
    NO_SYSTEM = "no_system"
    OTHER_SYSTEM = "other_system"
    LOST_CALL = "lost_call"
    EMPTY_ARGUMENTS = "empty_arguments"
    BAD_CALL = "bad_call"
    MIXED_NOTATION = "mixed_notation"
    PLACEHOLDER = "placeholder"
    UNANSWERED_CALL = "unanswered_call"
    CALL_WITHOUT_RESULT = "call_without_result"
    OUTSIDE_TURNS = "outside_turns"
    MARKUP = "markup"
    OVER_LENGTH = "over_length"


MEANING = {
    AuditFault.UNREADABLE: "lines that hold no training row",
    AuditFault.DUPLICATE: "rows that stand in their split before: weighed double",
    AuditFault.LEAKED_ROW: "whole rows that stand in an earlier split too: scores on them are memory",
    AuditFault.LEAKED_QUESTION: "rows whose question is asked in an earlier split too",
    AuditFault.COUNTED_LEAK: "questions or subjects that its dataset.json counts in an earlier split too",
    AuditFault.NO_SYSTEM: "rows without a system line, unlike what is served",
    AuditFault.OTHER_SYSTEM: "rows whose system line is not the commonest one",
    AuditFault.LOST_CALL: "rows with a call that --mask-prompt gives no loss, in this row or any other of the split",
    AuditFault.EMPTY_ARGUMENTS: "rows that call a tool without arguments",
    AuditFault.BAD_CALL: "rows with a call that cannot be read as written",
    AuditFault.MIXED_NOTATION: "rows whose calls are not in the commonest notation",
    AuditFault.PLACEHOLDER: "rows with a result that stands for one that was never there",
    AuditFault.UNANSWERED_CALL: "rows that end in a call, which no other row of the split goes on from",
    AuditFault.CALL_WITHOUT_RESULT: "rows that go on after a call without its result: results to be invented",
    AuditFault.OUTSIDE_TURNS: "rows with text outside closed turns, or whose end is not the end of a turn",
    AuditFault.MARKUP: "rows with chat markup inside a turn, or a result that the assistant says itself",
    AuditFault.OVER_LENGTH: "rows longer than the student is trained on: their end, with the stop token, is cut off",
}


@dataclass
class AuditFinding:
    """The rows of one kind of fault in one split."""

    rows: list[int] = field(default_factory=list)
    """line numbers, counted from 1"""
    same_as: list[str] = field(default_factory=list)
    """for copies, "split:row" of the first, beside each row"""
    example: str = ""
    """the evidence in the first row"""
    told: int = 0
    """how many the set itself tells of, without saying where"""

    @property
    def count(self) -> int:
        """Rows, and what is told."""
        return len(self.rows) + self.told


class Findings:
    """Rows by kind of fault and split, in the order they were found."""

    def __init__(self) -> None:
        self.found: dict[tuple[AuditFault, str], AuditFinding] = {}

    def add(self, fault: AuditFault, split: str, row: int, *, same_as: str = "", example: str = "") -> None:
        """Note that a row has this fault; the same row may have a kind once."""
        found = self.found.setdefault((fault, split), AuditFinding())
        if found.rows and found.rows[-1] == row:
            return
        found.rows.append(row)
        if same_as:
            found.same_as.append(same_as)
        found.example = found.example or example

    def tell(self, fault: AuditFault, split: str, number: int, *, example: str) -> None:
        """Note what the set itself counts, whose rows are not known."""
        found = self.found.setdefault((fault, split), AuditFinding())
        found.told += number
        found.example = found.example or example

    def count(self, fault: AuditFault, split: str) -> int:
        """Rows of the split with this fault."""
        found = self.found.get((fault, split))
        return found.count if found else 0

    def as_json(self) -> list[JsonObject]:
        """Every finding with all its row numbers, by kind and then split."""
        kinds = list(AuditFault)
        return [
            {
                "kind": fault.value,
                "split": split,
                "count": found.count,
                "meaning": MEANING[fault],
                "rows": list(found.rows),
                **({"same_as": list(found.same_as)} if found.same_as else {}),
                **({"example": found.example} if found.example else {}),
            }
            for (fault, split), found in sorted(self.found.items(), key=lambda item: kinds.index(item[0][0]))
        ]
