"""Failures and rejections of a run by cause, each with the command that runs its jobs again."""

from dataclasses import dataclass

from config.errors import RejectionReason
from producer.run_status import RunStatus


@dataclass(frozen=True)
class Cause:
    """A failure kind or a rejection reason."""

    name: str
    count: int
    command: str
    """runs these jobs again; "" while the run is cancelled"""


def failures(status: RunStatus) -> tuple[Cause, ...]:
    """Failed jobs by kind, most frequent first."""
    return _causes(status, status.kinds, "--kind")


def rejections(status: RunStatus) -> tuple[Cause, ...]:
    """Rejected trajectories by reason, most frequent first; before curation those that it will reject."""
    cut = {RejectionReason.TRUNCATED.value: status.truncated} if status.truncated else {}
    return _causes(status, status.reasons if status.kept is not None else cut, "--reason")


def _causes(status: RunStatus, counts: dict[str, int], option: str) -> tuple[Cause, ...]:
    refused = status.stage == "cancelled"  # `resubmit` needs it to be resumed first
    command = "" if refused else f"applejack resubmit {status.run_id} {option} "
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Cause(name, count, command and command + name) for name, count in ordered)
