"""Writes the review page of a dataset: `python -m worker.cli review DATASET_DIR --trajectories IN.jsonl --html F`."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ValidationError

from config.errors import UsageError
from config.records import Finding, Trajectory, Verdict
from worker.curate import sources
from worker.curate.review import Reviewed, write_review


class Rejected(BaseModel):
    """One line of rejected.jsonl."""

    job_id: str
    detail: tuple[Finding, ...]


def review(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory with a rejected.jsonl.")],
    trajectories: Annotated[list[Path], typer.Option(help="The files that the dataset was curated from.")],
    page: Annotated[Path, typer.Option("--html", help="File to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Write an HTML file with the kept and rejected trajectories side by side, with the evidence."""
    rejected = read_rejected(dataset)
    sources.require_trajectory(trajectories)
    numbers = Counter(t.job_id for t in _trajectories(trajectories) if t.job_id in rejected)
    kept = Counter[bool]()

    def reviewed() -> Iterator[Reviewed]:
        for pair in judge(_trajectories(trajectories), rejected, numbers):
            kept[pair[1].kept] += 1
            yield pair

    write_review(page, reviewed(), title=f"{dataset.resolve().name}: kept and rejected trajectories")
    lost = sum(len(lines) for lines in rejected.values()) - kept[False]
    size = page.stat().st_size
    out = sys.stderr if as_json else sys.stdout
    print(f"{page}: {kept[True]} kept, {kept[False]} rejected, {size / 1e6:.1f} MB", file=out)
    if lost:
        print(f"{lost} rejected trajectories are not in the given files", file=out)
    if as_json:
        summary = {"html": str(page), "kept": kept[True], "rejected": kept[False], "not_found": lost, "bytes": size}
        print(json.dumps(summary))


def read_rejected(dataset: Path) -> dict[str, list[tuple[Finding, ...]]]:
    """job_id -> the findings of each rejected trajectory with that id. Raises UsageError."""
    file = dataset / "rejected.jsonl"
    if not file.is_file():
        raise UsageError(f"{str(dataset)!r} is not a dataset directory: it has no rejected.jsonl")
    rejected: dict[str, list[tuple[Finding, ...]]] = defaultdict(list)
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = Rejected.model_validate_json(line)
            except ValidationError as error:
                raise UsageError(f"{file}:{number} is not a rejected example: {error.errors()[0]['msg']}") from error
            rejected[entry.job_id].append(entry.detail)
    return rejected


def judge(
    trajectories: Iterator[Trajectory], rejected: dict[str, list[tuple[Finding, ...]]], numbers: Counter[str]
) -> Iterator[Reviewed]:
    """Each trajectory with its verdict. Of several with the same job_id, the last ones are the rejected ones."""
    read: Counter[str] = Counter()
    for trajectory in trajectories:
        job = trajectory.job_id
        findings = rejected.get(job, [])
        place = read[job] - max(0, numbers[job] - len(findings))
        read[job] += 1
        yield trajectory, Verdict(job_id=job, findings=findings[place] if 0 <= place < len(findings) else ())


def _trajectories(files: list[Path]) -> Iterator[Trajectory]:
    return (sourced.trajectory for sourced in sources.read(files) if sourced.trajectory is not None)
