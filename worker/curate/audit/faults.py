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
    REPEATED_QUESTION = "repeated_question"
    NO_SYSTEM = "no_system"
    OTHER_SYSTEM = "other_system"
    LOST_CALL = "lost_call"
    EMPTY_ARGUMENTS = "empty_arguments"
    BAD_CALL = "bad_call"
    MIXED_NOTATION = "mixed_notation"
    PLACEHOLDER = "placeholder"
    SECRET = "secret"  # noqa: S105 - a name
    UNANSWERED_CALL = "unanswered_call"
    CALL_WITHOUT_RESULT = "call_without_result"
    OUTSIDE_TURNS = "outside_turns"
    MARKUP = "markup"
    OVER_LENGTH = "over_length"


MEANING = {
    AuditFault.UNREADABLE: "lines that are not a training row",
    AuditFault.DUPLICATE: "rows that repeat an earlier row of their split: they are weighted twice",
    AuditFault.LEAKED_ROW: "rows that are also in an earlier split: scores on them measure memory",
    AuditFault.LEAKED_QUESTION: "rows whose question is also in an earlier split",
    AuditFault.COUNTED_LEAK: "questions or subjects also in an earlier split, according to dataset.json",
    AuditFault.REPEATED_QUESTION: "other trajectories of a question of the same split: not a fault, but it weighs more",
    AuditFault.NO_SYSTEM: "rows without a system line; a server sends one",
    AuditFault.OTHER_SYSTEM: "rows whose system line differs from the most common one",
    AuditFault.LOST_CALL: "rows with a call that gets no loss under --mask-prompt in any row of the split",
    AuditFault.EMPTY_ARGUMENTS: "rows that call a tool without arguments",
    AuditFault.BAD_CALL: "rows with a call that cannot be read as written",
    AuditFault.MIXED_NOTATION: "rows whose calls are not in the most common notation",
    AuditFault.PLACEHOLDER: "rows with a placeholder in place of a tool result",
    AuditFault.SECRET: "rows with an API key, a private key or a password",
    AuditFault.UNANSWERED_CALL: "rows that end in a call and that no other row of the split continues",
    AuditFault.CALL_WITHOUT_RESULT: "rows that continue after a call without its result: they teach inventing results",
    AuditFault.OUTSIDE_TURNS: "rows with text outside closed turns, or whose end is not the end of a turn",
    AuditFault.MARKUP: "rows with chat markup inside a turn, or a tool result in an assistant turn",
    AuditFault.OVER_LENGTH: "rows over the maximum length: training cuts off their end, with the stop token",
}

NOTES = frozenset({AuditFault.REPEATED_QUESTION})
"""kinds that inform and are not faults: a set with nothing else is clean"""


@dataclass
class AuditFinding:
    """The rows of one kind of fault in one split."""

    rows: list[int] = field(default_factory=list)
    """line numbers, counted from 1"""
    same_as: list[str] = field(default_factory=list)
    """for copies, "split:row" of the first, beside each row"""
    example: str = ""
    """the evidence in the first row"""
    counted: int = 0
    """occurrences that the set's own dataset.json counts, without row numbers"""

    @property
    def count(self) -> int:
        """Rows, plus occurrences without row numbers."""
        return len(self.rows) + self.counted


class Findings:
    """Rows by kind of fault and split, in the order they were found."""

    def __init__(self) -> None:
        self.found: dict[tuple[AuditFault, str], AuditFinding] = {}

    def add(self, fault: AuditFault, split: str, row: int, *, same_as: str = "", example: str = "") -> None:
        """Record that a row has this fault; each row counts once per kind."""
        found = self.found.setdefault((fault, split), AuditFinding())
        if found.rows and found.rows[-1] == row:
            return
        found.rows.append(row)
        if same_as:
            found.same_as.append(same_as)
        found.example = found.example or example

    def add_counted(self, fault: AuditFault, split: str, number: int, *, example: str) -> None:
        """Record occurrences that dataset.json counts without row numbers."""
        found = self.found.setdefault((fault, split), AuditFinding())
        found.counted += number
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
                **({"note": True} if fault in NOTES else {}),
                "rows": list(found.rows),
                **({"same_as": list(found.same_as)} if found.same_as else {}),
                **({"example": found.example} if found.example else {}),
            }
            for (fault, split), found in sorted(self.found.items(), key=lambda item: kinds.index(item[0][0]))
        ]
