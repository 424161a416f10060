"""Failures and rejections of a run by cause, each with its share as a bar."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import JsonValue

from config.errors import FailureKind, RejectionReason
from config.records import JsonObject, RunControl, StageState
from config.topology import Stage
from producer.flower.runs import words
from producer.flower.text import share
from producer.run_status import RunStatus

CUT = RejectionReason.TRUNCATED.value


@dataclass(frozen=True)
class Cause:
    """One failure kind or rejection reason."""

    code: str
    title: str
    count: str
    of: str
    """its share of the finished jobs"""
    width: str
    """percent of the most frequent cause of its table"""
    query: str
    """of the address of its resubmission: kind=timeout; "" if it cannot be resubmitted"""
    look: str
    """of the address of its jobs' list: cause=timeout"""


@dataclass(frozen=True)
class Causes:
    """Both tables."""

    failures: tuple[Cause, ...]
    rejections: tuple[Cause, ...]
    failed: str
    rejected: str
    """sentences above the tables"""
    held: str
    """why nothing can be resubmitted now; "" if it can"""


def causes(run: RunStatus) -> Causes:
    """The causes of a run, most frequent first."""
    finished = run.generated + run.failed
    held = "Resume the run before you resubmit its jobs." if run.control is RunControl.CANCELLED else ""
    reasons = rejection_counts(run)
    return Causes(
        failures=_rows(run.kinds, words.FAILURES, "kind", finished, set(FailureKind) if not held else set()),
        rejections=_rows(reasons, words.REJECTIONS, "reason", finished, set(RejectionReason) if not held else set()),
        failed=f"{words.number(run.failed)} of {words.counted(finished, 'finished job')} failed." if run.failed else "",
        rejected=_rejected(run, reasons),
        held=held,
    )


def rejection_counts(run: RunStatus) -> dict[str, int]:
    """Trajectories per rejection reason, without those that failed; before curation only the truncated ones."""
    curated = next((view for view in run.stages if view.stage is Stage.CURATE), None)
    found = curated.result.get("reasons") if curated and curated.state is StageState.DONE else None
    counts = _counts(found) if isinstance(found, dict) else {CUT: run.truncated}
    return {name: count for name, count in counts.items() if count and name != RejectionReason.FAILED_GENERATION}


def _counts(found: Mapping[str, JsonValue] | JsonObject) -> dict[str, int]:
    return {name: count for name, count in found.items() if isinstance(count, int)}


def _rejected(run: RunStatus, reasons: Mapping[str, int]) -> str:
    if run.rejected is None:
        return "Known before curation:" if reasons else ""
    only = run.rejected - run.failed
    if only <= 0:
        return ""
    of = words.counted(run.generated, "answer")
    return f"{words.number(only)} of {of} rejected. An answer can have several reasons."


def _rows(
    counts: Mapping[str, int],
    titles: Mapping[str, str],
    name: str,
    finished: int,
    known: set[FailureKind] | set[RejectionReason],
) -> tuple[Cause, ...]:
    most = max(counts.values(), default=0)
    return tuple(
        Cause(
            code=code,
            title=titles.get(code, code.replace("_", " ")),
            count=words.number(count),
            of=words.percent(count, finished),
            width=share(count, most),
            query=f"{name}={code}" if code in known else "",
            look=f"{'cause' if name == 'kind' else name}={quote(code)}",
        )
        for code, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )
