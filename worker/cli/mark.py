"""`applejack review DATASET --mark`: serves the page until Ctrl-C."""

import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from config.errors import UsageError
from config.records import JsonObject, Verdict
from config.terminal import say, say_json
from worker.curate.review import Reviewed, write_review
from worker.curate.review.desk import Desk, draw
from worker.curate.review.examples import Example, read_examples
from worker.curate.review.marks import content_hash, marks_file, read_marks
from worker.curate.review.server import serving


def mark_examples(
    dataset: Path,
    pairs: Iterable[Reviewed],
    *,
    by: str,
    sample: int,
    seed: int,
    blind: bool,
    port: int,
    as_json: bool,
) -> None:
    """Serve the page of a sample to one person; print the number of their marks at the end. Raises UsageError."""
    examples = read_examples(dataset)
    file = marks_file(dataset)
    read_marks(file)  # a damaged line is reported before the browser opens
    chosen = draw(set(examples), sample=sample, seed=seed)
    found = find(chosen, pairs)
    chosen = [example for example in chosen if example in found]
    if not chosen:
        raise UsageError(f"none of the examples of {str(dataset)!r} is in the trajectory files")
    out = sys.stderr if as_json else sys.stdout
    sizes = Counter(example.kept for example in examples if example.kept is not None)
    desk = Desk(file, chosen, by=by, sizes=sizes)
    with tempfile.TemporaryDirectory(prefix="applejack-review-") as place:
        page = Path(place) / "page.html"
        title = f"{dataset.resolve().name}: right or wrong"
        marking: JsonObject = {"by": by, "blind": blind}
        write_review(page, (found[example] for example in chosen), title=title, marking=marking)
        with serving(page, desk, port=port) as url, suppress(KeyboardInterrupt):
            say(_greeting(url, file, chosen, by=by, marked=desk.finish()), file=out)
            threading.Event().wait()
        marked = desk.finish()
    say(f"\n{marked} of {len(chosen)} marked by {by}, saved in {file}", file=out)
    if marked:
        say(f"precision and recall: applejack precision {dataset}", file=out)
    if as_json:
        say_json({"page": None, "marks": str(file), "by": by, "marked": marked, "of": len(chosen)})


def find(chosen: Iterable[Example], pairs: Iterable[Reviewed]) -> dict[Example, Reviewed]:
    """The trajectory of each example, with the verdict that examples.jsonl records."""
    wanted = {(example.job_id, example.run_id, example.content): example for example in chosen}
    found: dict[Example, Reviewed] = {}
    for trajectory, verdict in pairs:
        example = wanted.get((trajectory.job_id, trajectory.run_id, content_hash(trajectory)))
        if example is not None and (example not in found or verdict.kept == example.kept):
            found[example] = trajectory, Verdict(job_id=verdict.job_id) if example.kept else verdict
    return found


def _greeting(url: str, file: Path, chosen: list[Example], *, by: str, marked: int) -> str:
    kept = sum(bool(example.kept) for example in chosen)
    rejected = len(chosen) - kept
    return f"""{len(chosen)} examples to mark ({kept} kept, {rejected} rejected); {marked} already marked by {by}

  {url}

Open this address in a browser on this machine. It works until you press Ctrl-C.
Each mark is saved at once to {file}"""
