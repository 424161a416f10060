"""The review page of a dataset: `python -m worker.cli review DATASET [--mark]`."""

import getpass
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, JsonValue, ValidationError

from config.errors import UsageError
from config.records import Finding, Trajectory, Verdict
from config.terminal import say, say_json
from worker.cli.mark import mark_examples
from worker.cli.review_run import write_run_page
from worker.curate import sources
from worker.curate.review import Reviewed, write_review
from worker.curate.review.examples import EXAMPLES, read_examples
from worker.curate.review.marks import content_hash

SAMPLE = 60  # marks; 30 on each side give a 95% interval of about 10 percentage points at a precision of 98%


class Rejected(BaseModel):
    """One line of rejected.jsonl."""

    job_id: str
    detail: tuple[Finding, ...]


def review(
    dataset: Annotated[Path, typer.Argument(help="Dataset directory, archive directory, or id of a run.")],
    trajectories: Annotated[
        list[Path] | None,
        typer.Option(
            help="The files that the dataset was curated from. Default: trajectories.jsonl beside the dataset."
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="File to write. Default: DATASET.review.html beside the dataset.")
    ] = None,
    mark: Annotated[
        bool, typer.Option("--mark", help="Mark examples as right or wrong in a browser on this machine.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="With --mark: your name. Default: your user name.")] = None,
    sample: Annotated[
        int, typer.Option(min=2, help="With --mark: examples to draw, half of them kept and half rejected.")
    ] = SAMPLE,
    seed: Annotated[
        int, typer.Option(help="With --mark: random seed of the sample; people with the same one mark the same.")
    ] = 0,
    blind: Annotated[
        bool, typer.Option("--blind/--no-blind", help="With --mark: hide each verdict until the example is marked.")
    ] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --mark: port to listen on, 0 for a free one.")] = 0,
    judged: Annotated[Path | None, typer.Option("--judged", hidden=True, help="Review file of a run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Write an HTML file with the kept and rejected trajectories, with the evidence.

    With the id of a run, in whatever state it is, the page comes straight from
    the ledger: its verdicts, failed jobs, and what has no verdict yet. It never
    shows an attempt that was superseded. --dir D names the directory of the
    stack (default: $APPLEJACK_DIR, else ./data), and --most N is the number of
    trajectories of each reason on the page (default: 2000; 0: all). The page is
    D/runs/RUN/review.html.

    A dataset that was curated from files needs --trajectories.

    With --mark, serve the page on this machine instead. There a person marks
    kept and rejected examples as right (deserves to be in the dataset) or wrong.
    Each mark is saved at once to DATASET.marks.jsonl, beside the dataset. Ctrl-C
    ends, and the same command continues. Several people can mark.
    `applejack precision DATASET` shows the result.
    """
    if judged is not None:
        write_run_page(judged, page or dataset / "review.html", as_json=as_json)
        return
    dataset, files = locate(dataset, trajectories)
    rejected = read_rejected(dataset)
    sources.require_trajectory(files)
    judged_set = Curated(dataset, files)
    numbers = Counter(t.job_id for t in judged_set.trajectories() if t.job_id in rejected)
    pairs = judge(judged_set.trajectories(), rejected, numbers)
    if mark:
        if page is not None:
            raise UsageError(
                f"--html {str(page)!r} cannot be combined with --mark; write the file with another command"
            )
        name = by.strip() if by is not None else getpass.getuser()
        if not name:
            raise UsageError("--by is empty; use your name")
        mark_examples(dataset, pairs, by=name, sample=sample, seed=seed, blind=blind, port=port, as_json=as_json)
        return
    write_page(page or beside(dataset, "review.html"), dataset, pairs, rejected, as_json=as_json)
    if judged_set.others:
        say(f"not shown, because this dataset was not curated from them: {judged_set.others}", file=sys.stderr)


class Curated:
    """The trajectories of files that a dataset was curated from."""

    def __init__(self, dataset: Path, files: list[Path]) -> None:
        self._files = files
        known = read_examples(dataset) if (dataset / EXAMPLES).is_file() else None  # earlier versions wrote none
        self._known = None if known is None else {(one.job_id, one.run_id, one.content) for one in known}
        self.others = 0
        """trajectories that the dataset does not know, such as an attempt after it; as of the last reading"""

    def trajectories(self) -> Iterator[Trajectory]:
        """Those that the dataset has a verdict of. The last attempt of a job that ran again."""
        self.others = 0
        for trajectory in _trajectories(self._files):
            key = (trajectory.job_id, trajectory.run_id, content_hash(trajectory)) if self._known is not None else None
            if self._known is None or key in self._known:
                yield trajectory
            else:
                self.others += 1


def person(by: str | None) -> str:
    """The name for the marks. Raises UsageError if there is none."""
    name = by
    if name is None:
        with suppress(KeyError, OSError):  # the account has no name, as in some containers
            name = getpass.getuser()
    if not name or not name.strip():
        raise UsageError("there is no name for the marks; set --by NAME")
    return name.strip()


def write_page(
    page: Path,
    dataset: Path,
    pairs: Iterator[Reviewed],
    rejected: dict[str, list[tuple[Finding, ...]]],
    *,
    as_json: bool,
) -> None:
    """Write the page and print what it holds."""
    kept = Counter[bool]()

    def counted() -> Iterator[Reviewed]:
        for pair in pairs:
            kept[pair[1].kept] += 1
            yield pair

    title = f"{dataset.resolve().name}: kept and rejected trajectories"
    write_review(page, counted(), title=title, correct=correct_of(dataset))
    lost = sum(len(lines) for lines in rejected.values()) - kept[False]
    size = page.stat().st_size
    out = sys.stderr if as_json else sys.stdout
    say(f"{page}: {kept[True]} kept, {kept[False]} rejected, {size / 1e6:.1f} MB", file=out)
    if lost:
        say(f"{lost} rejected trajectories are not in the given files", file=out)
    if as_json:
        counts = {"kept": kept[True], "rejected": kept[False], "not_found": lost, "bytes": size}
        say_json({"page": str(page), "html": str(page), **counts})


def locate(dataset: Path, trajectories: list[Path] | None) -> tuple[Path, list[Path]]:
    """The dataset directory and its trajectory files. Raises UsageError if there are none to be found."""
    inner = dataset / "dataset"  # of an archive or a fetch
    if not (dataset / "rejected.jsonl").exists() and inner.is_dir():
        dataset = inner
    if trajectories:
        return dataset, trajectories
    found = beside(dataset, "").parent / "trajectories.jsonl"
    if not found.is_file() and (dataset / "rejected.jsonl").exists():
        raise UsageError(
            f"there is no trajectories.jsonl beside {str(dataset)!r}; give the files that it was curated from with "
            "--trajectories IN.jsonl, or get those of a run with `applejack archive RUN --keep --out DIR`"
        )
    return dataset, [found]


def beside(dataset: Path, ending: str) -> Path:
    """DATASET.ENDING, beside the dataset directory."""
    place = dataset.resolve()
    return place.with_name(f"{place.name}.{ending}" if ending else place.name)


def correct_of(dataset: Path) -> JsonValue:
    """`correct` of dataset.json: {"count", "of"}; None if it is not there."""
    try:
        manifest = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found: JsonValue = manifest.get("correct") if isinstance(manifest, dict) else None
    return found


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
