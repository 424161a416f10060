"""What became of one delivery of a job or stage. Its text is the result of the Celery task."""

from dataclasses import dataclass
from enum import StrEnum

SHOWN = 300  # characters of a detail; Celery cuts a result at 1,024


class Fate(StrEnum):
    """How a delivery ended; the value is the first word of the task's result."""

    DONE = "done"  # its work is stored
    FAILED = "failed"  # its failure is stored, with a cause
    RETRY = "retry"  # released for another attempt
    DROPPED = "dropped"  # not this worker's work: finished, leased by another worker, paused, cancelled


@dataclass(frozen=True)
class Outcome:
    """The end of one delivery; str() is "failed: timeout"."""

    fate: Fate
    detail: str = ""

    def __str__(self) -> str:
        detail = " ".join(self.detail.split())
        shown = detail if len(detail) <= SHOWN else f"{detail[: SHOWN - 3]}..."
        return f"{self.fate.value}: {shown}" if shown else self.fate.value


def fate_of(text: str) -> Fate:
    """The fate that a task's result begins with; DONE for any other text, such as the id that older workers return."""
    word = text.partition(":")[0]
    return Fate(word) if word in set(Fate) else Fate.DONE
