"""What an audit can find, each kind with what it means for the student, and where it was found."""

from dataclasses import dataclass, field
from enum import StrEnum

from config.records import JsonObject


class Fault(StrEnum):
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
    Fault.UNREADABLE: "lines that hold no training row",
    Fault.DUPLICATE: "rows that stand in their split before: weighed double",
    Fault.LEAKED_ROW: "whole rows that stand in an earlier split too: scores on them are memory",
    Fault.LEAKED_QUESTION: "rows whose question is asked in an earlier split too",
    Fault.COUNTED_LEAK: "questions or subjects that its dataset.json counts in an earlier split too",
    Fault.NO_SYSTEM: "rows without a system line, unlike what is served",
    Fault.OTHER_SYSTEM: "rows whose system line is not the commonest one",
    Fault.LOST_CALL: "rows with a call that --mask-prompt gives no loss, in this row or any other of the split",
    Fault.EMPTY_ARGUMENTS: "rows that call a tool without arguments",
    Fault.BAD_CALL: "rows with a call that cannot be read as written",
    Fault.MIXED_NOTATION: "rows whose calls are not in the commonest notation",
    Fault.PLACEHOLDER: "rows with a result that stands for one that was never there",
    Fault.UNANSWERED_CALL: "rows that end in a call, which no other row of the split goes on from",
    Fault.CALL_WITHOUT_RESULT: "rows that go on after a call without its result: results to be invented",
    Fault.OUTSIDE_TURNS: "rows with text outside closed turns, or whose end is not the end of a turn",
    Fault.MARKUP: "rows with chat markup inside a turn, or a result that the assistant says itself",
    Fault.OVER_LENGTH: "rows longer than the student is trained on: their end, with the stop token, is cut off",
}


@dataclass
class Found:
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
        self.found: dict[tuple[Fault, str], Found] = {}

    def add(self, fault: Fault, split: str, row: int, *, same_as: str = "", example: str = "") -> None:
        """Note that a row has this fault; the same row may have a kind once."""
        found = self.found.setdefault((fault, split), Found())
        if found.rows and found.rows[-1] == row:
            return
        found.rows.append(row)
        if same_as:
            found.same_as.append(same_as)
        found.example = found.example or example

    def tell(self, fault: Fault, split: str, number: int, *, example: str) -> None:
        """Note what the set itself counts, whose rows are not known."""
        found = self.found.setdefault((fault, split), Found())
        found.told += number
        found.example = found.example or example

    def count(self, fault: Fault, split: str) -> int:
        """Rows of the split with this fault."""
        found = self.found.get((fault, split))
        return found.count if found else 0

    def as_json(self) -> list[JsonObject]:
        """Every finding with all its row numbers, by kind and then split."""
        kinds = list(Fault)
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
