"""What happened to one job, in words: what `applejack why` prints and the Job page shows."""

from pydantic import JsonValue

from config.errors import RejectionReason
from config.ledger.encoding import Event
from config.records import Provenance, Trajectory, Verdict

WORDS = {  # event of a job's history -> what it says; prelude.lua and its callers write them
    "started": "{worker} started it",
    "generated": "{worker} completed it",
    "failed": "it failed on {worker}",
    "handed_back": "{worker} handed it back",
    "lost": "{worker} lost it",
    "cancelled": "it was cancelled",
    "resubmitted": "it was resubmitted",
}


def event_words(event: Event) -> str:
    """One event of a job's history as a sentence without its end: "it failed on mac-1: timeout"."""
    worker = event.worker or "a worker"
    words = WORDS.get(event.event, event.event.replace("_", " ")).replace("{worker}", worker)
    return f"{words}: {event.detail}" if event.detail else words


def reasons(latest: Trajectory | None, verdict: Verdict | None) -> list[JsonValue]:
    """Why curation rejected a job; before curation, whether it is known to be truncated."""
    if verdict:
        return [reason.value for reason in verdict.reasons]
    return [RejectionReason.TRUNCATED.value] if latest and latest.truncated else []


def split_file(verdict: Verdict) -> str:
    """The dataset file with the rows of a kept job."""
    return f"{verdict.split}.jsonl"


def row_ranges(verdict: Verdict) -> str:
    """The rows of a kept job as text, ": train.jsonl rows 3, 12-14"; "" if the verdict has no rows."""
    if not verdict.rows:
        return ""
    ranges: list[list[int]] = []
    for row in verdict.rows:
        if ranges and ranges[-1][-1] == row - 1:
            ranges[-1][1:] = [row]
        else:
            ranges.append([row])
    rows = ", ".join("-".join(map(str, ends)) for ends in ranges)
    return f": {split_file(verdict)} {'rows' if len(verdict.rows) > 1 else 'row'} {rows}"


def origin(provenance: Provenance) -> str:
    """Describe the origin of a trajectory in one line."""
    pin = provenance.workspace
    code = (
        f", code {pin.origin} at {pin.commit or pin.digest}{' (without its uncommitted changes)' if pin.dirty else ''}"
        if pin
        else ""
    )
    sampling = provenance.sampling
    sampled = f", temperature {sampling.temperature}, top_p {sampling.top_p}" if sampling else ""
    revision = f" (revision {provenance.revision})" if provenance.revision else ""
    return (
        f"from {provenance.teacher}{revision} at {provenance.endpoint}{sampled}{code}, "
        f"by {provenance.worker}, applejack {provenance.applejack_version}, tools {provenance.toolset_digest}"
    )
