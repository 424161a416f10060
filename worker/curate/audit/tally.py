"""Counts and findings over the rows of a training set; of each row it keeps digests, 300 to 500 bytes, and no text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.curate.audit.faults import AuditFault, Findings
from worker.curate.audit.notations import Notation
from worker.curate.audit.rows import Row, digest, no_argument_tools, said_results, without_template_tags
from worker.curate.checks.markup import MARKUP, strings
from worker.curate.checks.tool_results import LEFTOVER, PLACEHOLDER
from worker.secrets import find_secrets


@dataclass
class SplitTally:
    """The counts of one split, and what later splits are compared with."""

    rows: int = 0
    with_calls: int = 0
    no_system: int = 0
    lost_call_rows: int = 0
    seen: dict[bytes, int] = field(default_factory=dict)
    """row digest -> first row"""
    questions: dict[bytes, int] = field(default_factory=dict)
    systems: dict[bytes, list[int]] = field(default_factory=dict)
    """digest of a system line -> its rows"""
    notations: dict[Notation, list[int]] = field(default_factory=dict)
    lost: list[tuple[int, tuple[bytes, ...]]] = field(default_factory=list)
    """(row, its prefixes that end in a call without loss)"""
    going_on: set[bytes] = field(default_factory=set)
    """prefixes that end in a call and have more behind them"""
    ends: list[tuple[int, bytes]] = field(default_factory=list)
    """(row, its digest) where a row ends in a call"""
    asked: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    """(row, its question, its conversation), without copies"""
    continued: set[bytes] = field(default_factory=set)
    """prefixes that end in an assistant turn and have more behind them in some row"""


class Tally:
    """Counts rows split by split; later splits must not repeat earlier ones."""

    def __init__(self) -> None:
        self.splits: dict[str, SplitTally] = {}
        self.findings = Findings()
        self.leaked_rows: Counter[str] = Counter()
        self.leaked_questions: Counter[str] = Counter()
        self.empty_argument_calls = 0

    def open(self, split: str) -> None:
        """Start a split, which must not repeat rows of the splits before it."""
        self.splits[split] = SplitTally()

    def add(self, split: str, number: int, row: Row) -> None:
        """Count one row of the split opened last; `number` is its line."""
        tally = self.splits[split]
        tally.rows += 1
        self._copies(tally, split, number, row)
        self._system(tally, split, number, row)
        self._calls(tally, split, number, row)
        self._results(split, number, row)
        self._markup(split, number, row)
        self._secrets(split, number, row)

    def close(self) -> None:
        """Add findings that need all rows: odd system lines and notations, calls whose loss is in another row."""
        for split, tally in self.splits.items():
            self._continued(split, tally)
            self._repeated(split, tally)
        self._odd(AuditFault.OTHER_SYSTEM, {name: tally.systems for name, tally in self.splits.items()})
        self._odd(AuditFault.MIXED_NOTATION, {name: tally.notations for name, tally in self.splits.items()})

    def _copies(self, tally: SplitTally, split: str, number: int, row: Row) -> None:
        identity, question = row.identity, row.question
        for earlier, other in self.splits.items():
            if other is tally:
                continue
            pair = f"{earlier}-{split}"
            if (first := other.seen.get(identity)) is not None:
                self.leaked_rows[pair] += 1
                self.findings.add(AuditFault.LEAKED_ROW, split, number, same_as=f"{earlier}:{first}")
            if question is not None and (first := other.questions.get(question)) is not None:
                self.leaked_questions[pair] += 1
                self.findings.add(AuditFault.LEAKED_QUESTION, split, number, same_as=f"{earlier}:{first}")
        if (first := tally.seen.setdefault(identity, number)) != number:
            self.findings.add(AuditFault.DUPLICATE, split, number, same_as=f"{split}:{first}")
        elif question is not None:
            tally.questions.setdefault(question, number)
            self._asked(tally, number, row, question)

    def _system(self, tally: SplitTally, split: str, number: int, row: Row) -> None:
        system = row.system
        if system.strip():
            tally.systems.setdefault(digest(system), []).append(number)
        else:
            tally.no_system += 1
            self.findings.add(AuditFault.NO_SYSTEM, split, number)

    def _calls(self, tally: SplitTally, split: str, number: int, row: Row) -> None:
        calling = row.calling
        if not calling:
            return
        tally.with_calls += 1
        last = len(row.turns) - 1
        calls = [call for index in calling for call in row.turns[index].calls]
        for notation in sorted({call.notation for call in calls}):
            tally.notations.setdefault(notation, []).append(number)
        empty = [call.name for call in calls if call.empty]
        self.empty_argument_calls += len(empty)
        if odd := sorted(set(empty) - no_argument_tools(row)) if empty else []:
            self.findings.add(
                AuditFault.EMPTY_ARGUMENTS, split, number, example=f"{odd[0]!r} is called with no arguments"
            )
        if fault := next((call.fault for call in calls if call.fault), ""):
            self.findings.add(AuditFault.BAD_CALL, split, number, example=fault)
        prefixes = () if row.is_text else tuple(row.prefixes[index] for index in calling if index != last)
        tally.going_on.update(prefixes)
        if calling[-1] == last:
            tally.ends.append((number, b"" if row.is_text else row.whole))
            return
        tally.lost_call_rows += 1
        if not row.is_text:
            tally.lost.append((number, prefixes))

    def _results(self, split: str, number: int, row: Row) -> None:
        for turn in row.turns:
            for result in (*turn.results, *(result for _, result in said_results(turn))):
                if result is None or PLACEHOLDER.match(result) or LEFTOVER.match(result):
                    example = f"the whole result is {result if result is None else result[:60]!r}"
                    self.findings.add(AuditFault.PLACEHOLDER, split, number, example=example)
        owed = 0
        for turn in row.turns:
            if turn.role == "assistant":
                if owed > 0:
                    self.findings.add(AuditFault.CALL_WITHOUT_RESULT, split, number)
                owed = len(turn.calls)
            owed -= len(turn.results)

    def _secrets(self, split: str, number: int, row: Row) -> None:
        kinds = (secret.rule for text in strings(row.source) for secret in find_secrets(text))
        if kind := next(kinds, None):
            self.findings.add(AuditFault.SECRET, split, number, example=kind)

    def _markup(self, split: str, number: int, row: Row) -> None:
        if row.stray:
            self.findings.add(AuditFault.OUTSIDE_TURNS, split, number, example=row.stray)
        for turn in row.turns:
            if found := MARKUP.search(without_template_tags(row, turn)):
                self.findings.add(
                    AuditFault.MARKUP, split, number, example=f"{found.group()!r} in the {turn.role[:20]}'s text"
                )
            elif said := said_results(turn):
                example = f"{said[0][0][:60]!r} in the assistant's text, a result that no tool returned"
                self.findings.add(AuditFault.MARKUP, split, number, example=example)

    def _continued(self, split: str, tally: SplitTally) -> None:
        """One row per assistant turn is sound: a call without loss here has it in the row that ends there.

        One such row is enough, since calls that failed and were mended are left out of the loss on purpose.
        """
        with_loss = {prefix for _, prefix in tally.ends}
        for number, prefixes in tally.lost:
            if with_loss.isdisjoint(prefixes):
                self.findings.add(AuditFault.LOST_CALL, split, number)
        for number, prefix in tally.ends:
            if prefix not in tally.going_on:
                self.findings.add(AuditFault.UNANSWERED_CALL, split, number)

    def _asked(self, tally: SplitTally, number: int, row: Row, question: bytes) -> None:
        conversation = row.conversation
        if not row.is_text and conversation == row.whole:  # no job_id: a row per turn is a prefix of the next one
            tally.continued.update(row.prefixes.values())
        tally.asked.append((number, question, conversation))

    def _repeated(self, split: str, tally: SplitTally) -> None:
        """Several trajectories of one question are legitimate; rows of one trajectory do not count as a repeat."""
        first: dict[bytes, int] = {}
        conversations: set[tuple[bytes, bytes]] = set()
        for number, question, conversation in tally.asked:
            if conversation in tally.continued or (question, conversation) in conversations:
                continue
            conversations.add((question, conversation))
            if (earlier := first.setdefault(question, number)) != number:
                self.findings.add(AuditFault.REPEATED_QUESTION, split, number, same_as=f"{split}:{earlier}")

    def _odd(
        self, fault: AuditFault, by_split: dict[str, dict[bytes, list[int]]] | dict[str, dict[Notation, list[int]]]
    ) -> None:
        """Add findings for rows that differ from most of the set."""
        totals: Counter[bytes | Notation] = Counter()
        for groups in by_split.values():
            for key, rows in groups.items():
                totals[key] += len(rows)
        if len(totals) < 2:
            return
        commonest = max(totals, key=lambda key: (totals[key], str(key)))
        for split, groups in by_split.items():
            odd: Sequence[int] = sorted({row for key, rows in groups.items() if key != commonest for row in rows})
            for row in odd:
                self.findings.add(fault, split, row, example=f"{len(totals)} differ in the set")
