"""Precision and recall of curation from people's marks: `python -m worker.cli precision DATASET`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from config.atomic_files import write_text, writing
from config.errors import UsageError
from config.fetched import note_change
from config.records import JsonObject
from config.terminal import say, say_json
from worker.curate.card import with_review
from worker.curate.dataset import CARD, MANIFEST
from worker.curate.review.examples import read_examples
from worker.curate.review.marks import marks_file, read_marks
from worker.curate.review.precision import Estimate, Judged, Precision, measure

LISTED = 10  # examples per list
NOT_COUNTED = {
    "disputed": "examples that as many people find right as wrong",
    "changed": "marks of examples whose content has changed",
    "missing": "marks of jobs that are not in the dataset",
    "ambiguous": "marks without a content hash whose job has several examples",
    "left_out": "marks of duplicates, over-long, sampled-out or failed examples",
}


def precision(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory, archive directory, or id of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Show precision and recall of curation, from people's marks in DATASET.marks.jsonl.

    With the id of a run, --dir D names the directory of its stack (default:
    $APPLEJACK_DIR, else ./data). The dataset is then D/runs/RUN/dataset.

    Precision is the share of the kept examples that are right. Recall is the
    share of the right examples that were kept. Both have 95% intervals. Marks
    are weighted, because kept and rejected examples are sampled at different
    rates.

    The figures are also written into dataset.json and README.md of the dataset;
    its content hash stays the same. `applejack curate` keeps the marks and
    writes the new figures itself. After another `fetch`, run this again.

    Marks come from `applejack review DATASET --mark`. Written by hand, a line is

    {"job_id": "...", "mark": "right" or "wrong", "by": "..."}
    """
    dataset = dataset / "dataset" if (dataset / "dataset" / MANIFEST).is_file() else dataset
    examples = read_examples(dataset)
    file = marks_file(dataset)
    marks = read_marks(file)
    if not any(mark.mark for mark in marks):
        raise UsageError(
            f"there are no marks in {str(file)!r}; make some with `applejack review {dataset} --mark` "
            "(with --trajectories FILE... for a dataset that was curated from files)"
        )
    measured = measure(examples, marks)
    say("\n".join(lines(measured)), file=sys.stderr if as_json else sys.stdout)
    update(dataset, measured)
    if as_json:
        say_json({**measured.as_json(), **_job_ids(measured), "marks": str(file)})
    if not measured.judged:
        raise typer.Exit(1)


def lines(measured: Precision) -> list[str]:
    """The figures as text, at most 80 columns without the notes."""
    people = "1 person" if measured.people == 1 else f"{measured.people} people"
    shown = [
        f"{len(measured.judged)} examples marked by {people}",
        _shown("precision", measured.precision, "marked kept ones are right"),
        _shown("recall", measured.recall, "marked right ones are kept"),
    ]
    if measured.agreement:
        shown.append(_shown("agreement", measured.agreement, "are judged the same"))
    if len(set(measured.weights.values())) > 1:
        kept, rejected = (measured.weights.get(side, 0.0) for side in (True, False))
        shown.append(f"weights: a kept mark counts for {kept:.1f} examples, a rejected one for {rejected:.1f}")
    shown += [f"not counted: {count}, {NOT_COUNTED[cause]}" for cause, count in measured.not_counted.items() if count]
    for title, found in (("kept, but wrong", kept_wrong(measured)), ("rejected, but right", rejected_right(measured))):
        if found:
            shown.append(f"{title}:")
            shown += [f"  {one.example.job_id}  {' / '.join(one.notes)}".rstrip() for one in found[:LISTED]]
        if len(found) > LISTED:
            shown.append(f"  and {len(found) - LISTED} more")
    return shown


def update(dataset: Path, measured: Precision) -> None:
    """Write the figures into the manifest and the card. Raises UsageError."""
    file, card = dataset / MANIFEST, dataset / CARD
    try:
        manifest: JsonObject = json.loads(file.read_text(encoding="utf-8"))
        text = card.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(dataset)!r} has no readable {MANIFEST} and {CARD}: {error}") from error
    manifest["review"] = measured.as_json()
    with writing(dataset), note_change(file), note_change(card):
        write_text(file, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        write_text(card, with_review(text, manifest))


def kept_wrong(measured: Precision) -> Sequence[Judged]:
    """Examples that are kept and should not be."""
    return [one for one in measured.judged if one.example.kept and not one.right]


def rejected_right(measured: Precision) -> Sequence[Judged]:
    """Examples that are rejected and should not be."""
    return [one for one in measured.judged if not one.example.kept and one.right]


def _job_ids(measured: Precision) -> JsonObject:
    return {
        "kept_wrong": [one.example.job_id for one in kept_wrong(measured)],
        "rejected_right": [one.example.job_id for one in rejected_right(measured)],
    }


def _shown(name: str, estimate: Estimate | None, what: str) -> str:
    if estimate is None:
        return f"{name:<9}  not known yet; mark more kept and rejected examples"
    low, high = estimate.interval95
    marks = f"{estimate.count} of {estimate.of}"
    return f"{name:<9}  {estimate.rate:6.1%}  ({low:.1%} to {high:.1%})  {marks} {what}"
