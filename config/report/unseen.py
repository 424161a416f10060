"""The part of a Report about code that the student never saw: neither in training rows nor in held-out questions."""

from typing import Self

from pydantic import Field

from config.records import Record
from config.report.comparison import Comparison
from config.report.metrics import Metrics


class Unseen(Record):
    """Results of questions about a package that was not part of the run; apart from `before` and `after`."""

    workspace: str
    """the package and its version, "package:kombu@5.7.0" """
    digest: str | None = None
    """sha256 of the code that the tools read; None if no question was asked"""
    before: Metrics | None = None
    after: Metrics | None = None
    comparison: Comparison | None = Field(None, exclude_if=lambda comparison: comparison is None)
    """base and adapter on these questions"""
    problem: str = Field("", exclude_if=lambda problem: not problem)
    """why no question was asked, in one line"""

    @classmethod
    def skipped(cls, workspace: str, problem: str) -> Self:
        """A set of questions that could not be asked."""
        return cls(workspace=workspace, problem=problem)
