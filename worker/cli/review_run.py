"""The review page of a run, from the file that the producer wrote: `applejack review RUN`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from config.atomic_files import writing
from config.errors import UsageError
from config.records import JsonObject, Trajectory, Verdict
from config.review_file import ReviewHead, ReviewLine
from config.terminal import say, say_json
from worker.curate.jsonlines import first_error
from worker.curate.review import Unjudged, write_review

COUNTS = ("run_id", "version", "judged_version", "kept", "rejected", "open", "again", "reasons", "failures", "shown")


def write_run_page(file: Path, page: Path, *, as_json: bool) -> None:
    """Write the page of a review file, and print its counts, which are those of the ledger. Raises UsageError."""
    head = read_head(file)
    with writing(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    write_review(
        page,
        read_lines(file),
        title=f"Review of run {head.run_id}",
        correct=dict(head.correct) if head.correct else None,
        head=on_page(head),
    )
    out = sys.stderr if as_json else sys.stdout
    size = page.stat().st_size
    say(f"{page}: {head.totals}, {size / 1e6:.1f} MB", file=out)
    for note in head.notes:
        say(note, file=out)
    if as_json:
        counts = head.model_dump(mode="json", include=set(COUNTS))
        body = {"page": str(page), "html": str(page), **counts, **head.states, "not_found": 0, "bytes": size}
        say_json({**body, "notes": list(head.notes)})


def on_page(head: ReviewHead) -> JsonObject:
    """What the page shows of the head."""
    return {
        "totals": head.totals,
        "notes": list(head.notes),
        "counts": {"kept": head.kept, "rejected": head.rejected, "open": head.open},
        "reasons": dict(head.reasons),
        "curated": head.judged_version is not None,
        "sample": head.shown < head.kept + head.rejected + head.open,
    }


def read_head(file: Path) -> ReviewHead:
    """The first line of a review file. Raises UsageError."""
    try:
        with file.open("rb") as lines:
            return ReviewHead.model_validate_json(lines.readline())
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise UsageError(f"{str(file)!r} is not the review file of a run: {first_error(error)}") from error


def read_lines(file: Path) -> Iterator[tuple[Trajectory, Verdict | Unjudged]]:
    """The trajectories of a review file, one at a time."""
    with file.open("rb") as lines:
        next(lines)
        for line in lines:
            read = ReviewLine.model_validate_json(line)
            yield read.trajectory, read.verdict or Unjudged(read.why)
