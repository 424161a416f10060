"""The loss proof: which tokens contribute to the loss, and which role wrote them.

mlx_lm's default_loss counts target positions max(1, offset) .. length of a row (trainer.py, `steps >= offset` and
`steps <= length`, where step s predicts token s). `offset` is 0 for `text`; for `turns` with --mask-prompt it is the
length of everything before the last message, including the generation prompt. Position `length` is the padding after
the row: one more target per row, which no role wrote and which is never served. It is counted separately as `padding`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from operator import add, attrgetter

from config.records import JsonObject
from worker.curate.render import Rendered, Span, own_tokens
from worker.student.tokenizer import Student


@dataclass(frozen=True, slots=True)
class Losses:
    """Token counts of one trajectory or of a whole dataset. They can be added."""

    rows: int = 0
    row_tokens: int = 0
    loss_tokens: int = 0
    assistant_tokens: int = 0
    """loss tokens written by the assistant"""
    non_assistant_tokens: int = 0
    """loss tokens of other roles: system, user, tool"""
    turns: int = 0
    stop_tokens: int = 0
    """assistant turns whose stop token is in the loss"""
    cut_rows: int = 0
    """rows longer than max_seq_length"""
    prefix_mismatches: int = 0
    """turns whose inference-time prompt differs from the training prefix"""
    padding: int = 0

    def __add__(self, other: "Losses") -> "Losses":
        return Losses(*map(add, _counts(self), _counts(other)))

    def faults(self, *, foreign_allowed: bool) -> tuple[str, ...]:
        """The faults as text; empty if the proof passes."""
        found = {
            f"{self.non_assistant_tokens} loss tokens were not written by the assistant": 0
            if foreign_allowed
            else self.non_assistant_tokens,
            f"{self.turns - self.stop_tokens} assistant turns have no stop token in the loss": self.turns
            - self.stop_tokens,
            f"{self.cut_rows} rows are cut by max_seq_length": self.cut_rows,
            f"{self.prefix_mismatches} trained prefixes differ from the served prompt": self.prefix_mismatches,
        }
        return tuple(text for text, count in found.items() if count)


_counts = attrgetter(*(field.name for field in fields(Losses)))


def losses(rendered: Rendered, student: Student, *, max_seq_length: int) -> Losses:
    """The counts of one rendered trajectory."""
    return (_text_losses if rendered.text_ids else _turn_losses)(rendered, student, max_seq_length)


def proof(total: Losses, *, foreign_allowed: bool, causes: Sequence[str] = ()) -> JsonObject:
    """The loss proof of dataset.json. `foreign_allowed`: tokens of other roles are counted, but are not a fault.

    `causes` explain the faults and are listed after them.
    """
    faults = total.faults(foreign_allowed=foreign_allowed)
    faults = (*faults, *causes) if faults else faults
    share = total.non_assistant_tokens / total.loss_tokens if total.loss_tokens else 0.0
    return {
        "passed": not faults and total.loss_tokens > 0,
        "faults": list(faults) if total.loss_tokens else ["there are no loss tokens"],
        **asdict(total),
        "foreign_share": round(share, 6),
    }


def total(counts: Iterable[Losses]) -> Losses:
    """The sum of the counts."""
    return sum(counts, Losses())


def _turn_losses(rendered: Rendered, student: Student, max_seq_length: int) -> Losses:
    return total(_turn_row(span, student, max_seq_length) for span in rendered.spans)


def _turn_row(span: Span, student: Student, max_seq_length: int) -> Losses:
    ids, offset = span.through_ids, len(span.prompt_ids)
    end = min(len(ids), max_seq_length)
    loss = max(0, end - max(1, offset))
    same = _continues(span)
    by_assistant = loss if same else 0
    return Losses(
        rows=1,
        row_tokens=len(ids),
        loss_tokens=loss,
        assistant_tokens=by_assistant,
        non_assistant_tokens=loss - by_assistant,
        turns=1,
        stop_tokens=int(same and _stops(ids[offset:end], student)),
        cut_rows=int(len(ids) > max_seq_length),
        prefix_mismatches=int(not same),
        padding=int(len(ids) < max_seq_length),
    )


def _text_losses(rendered: Rendered, student: Student, max_seq_length: int) -> Losses:
    ids = rendered.text_ids
    end = min(len(ids), max_seq_length)
    by_assistant = stops = mismatches = 0
    for span in rendered.spans:
        start = len(span.prompt_ids)
        same = _continues(span) and ids[:start] == span.prompt_ids
        turn = own_tokens(span.through_ids[start:], student)
        complete = same and ids[start : start + len(turn)] == turn and start + len(turn) <= end
        mismatches += not same
        by_assistant += max(0, min(end, start + len(turn)) - start) if same else 0
        stops += int(complete and _stops(turn, student))
    loss = max(0, end - 1)
    return Losses(
        rows=1,
        row_tokens=len(ids),
        loss_tokens=loss,
        assistant_tokens=by_assistant,
        non_assistant_tokens=loss - by_assistant,
        turns=len(rendered.spans),
        stop_tokens=stops,
        cut_rows=int(len(ids) > max_seq_length),
        prefix_mismatches=mismatches,
        padding=int(len(ids) < max_seq_length),
    )


def _continues(span: Span) -> bool:
    """Whether the training prefix equals the inference-time prompt, and the turn adds tokens to it."""
    offset = len(span.prompt_ids)
    return len(span.through_ids) > offset and span.through_ids[:offset] == span.prompt_ids


def _stops(ids: tuple[int, ...], student: Student) -> bool:
    """Whether the turn has exactly one stop token, followed only by white space."""
    own = own_tokens(ids, student)
    if not own or own[-1] not in student.eos_ids:
        return False
    rest = ids[len(own) :]
    return not rest or not student.decode(rest).strip()
