"""The choice of the checkpoint: what each saved checkpoint answered, and which became the adapter."""

from typing import Self

from config.records import Record
from config.report.metrics import Fraction


class CheckpointScore(Record):
    """One checkpoint's answers to the questions of the valid split."""

    iteration: int
    """iterations after which it was saved"""
    grounded_correct: Fraction
    """answers with the expected facts after at least one real tool result"""
    loops: Fraction
    """answers with repeated calls, or that reached a limit"""
    valid_loss: float | None = None
    """the validation loss nearest to the iteration; None if the training reported none"""


class CheckpointChoice(Record):
    """The compared checkpoints; `iteration` is the adapter's."""

    iteration: int
    scores: tuple[CheckpointScore, ...] = ()
    """in the order of their iterations; empty if nothing was compared"""
    reason: str
    """why this checkpoint, in one line"""

    @classmethod
    def of(cls, scores: tuple[CheckpointScore, ...]) -> Self:
        """Choose the most grounded-correct answers; of equal ones the fewest loops, then the latest checkpoint."""
        best = max(scores, key=lambda one: (one.grounded_correct.count, -one.loops.count, one.iteration))
        right, of = best.grounded_correct.count, best.grounded_correct.of
        others = sum(one.grounded_correct.count == right for one in scores) - 1
        tie = f"; {others} other(s) answered as many, and fewest loops, then the latest, decided" if others else ""
        return cls(
            iteration=best.iteration,
            scores=scores,
            reason=f"iteration {best.iteration} answered {right} of {of} questions of the valid split rightly{tie}",
        )

    def markdown(self) -> str:
        """The table of the compared checkpoints and the reason; the reason alone if nothing was compared."""
        head = "| iteration | grounded correct | loops | validation loss | |\n| ---: | ---: | ---: | ---: | --- |\n"
        rows = "".join(
            f"| {one.iteration} | {_text(one.grounded_correct)} | {_text(one.loops)} "
            f"| {'' if one.valid_loss is None else format(one.valid_loss, '.3f')} "
            f"| {'chosen' if one.iteration == self.iteration else ''} |\n"
            for one in self.scores
        )
        return f"Checkpoint: {self.reason}.\n" + (f"\n{head}{rows}" if rows else "")


def _text(fraction: Fraction) -> str:
    return f"{fraction.count} of {fraction.of}"
