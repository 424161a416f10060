"""Rejects answers with assertions that no tool result supports."""

from collections.abc import Iterator

from config.errors import RejectionReason
from config.records import Finding, Trajectory
from worker.curate.checks.support.verdict import unsupported


def unsupported_claim(trajectory: Trajectory) -> Iterator[Finding]:
    """What an answer asserts that the results do not hold; worker/curate/checks/support defines it."""
    for detail in unsupported(trajectory):
        yield Finding(reason=RejectionReason.UNSUPPORTED_CLAIM, detail=detail, message=len(trajectory.messages) - 1)
