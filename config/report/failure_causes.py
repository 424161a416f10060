"""Why answers failed: one cause for each, counted, with transcripts and what would help."""

from pydantic import Field

from config.records import Record


class Turn(Record):
    """One turn of a transcript."""

    role: str
    text: str
    """cut to a few hundred characters, with a marker"""


class FailedAnswer(Record):
    """One failed answer as an example of its cause."""

    job_id: str
    category: str
    prompt: str
    turns: tuple[Turn, ...]
    expected: str
    detail: str
    """the evidence, in one line"""


class FailureCause(Record):
    """The answers that failed for one cause."""

    cause: str
    """its name, in snake case"""
    title: str
    """the same in plain English"""
    count: int
    of: int
    """all scored answers"""
    categories: dict[str, int] = Field(default_factory=dict)
    help: str
    """what would help, in one line"""
    examples: tuple[FailedAnswer, ...] = ()
    """at most three"""
