"""The curate stage by hand, on files: `python -m worker curate IN.jsonl... --out DIR --student MODEL`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from config.errors import UsageError
from config.records import Trajectory
from worker.curate import sources
from worker.curate.options import FORMATS, MAX_CALLS, Format, Options, SplitBy, Summary
from worker.curate.pipeline import curate as run_curate

TOLD = 20  # broken lines named one by one
PARQUET = "parquet"  # no format of rows but a second form of the files
STEP = 500  # trajectories between two lines of progress


def curate(
    files: Annotated[list[Path], typer.Argument(help="trajectories or the seed generator's records, JSONL")],
    out: Annotated[Path, typer.Option(help="directory of the dataset; one that stands there is replaced")],
    student: Annotated[Path | None, typer.Option(help="model directory; not needed for seed-text")] = None,
    format_: Annotated[
        str, typer.Option("--format", help="text, turns, seed-text, or parquet: turns and its rows as parquet files")
    ] = "text",
    mix: Annotated[str | None, typer.Option(help="no_tools=0.3: sample examples without tools down")] = None,
    split_by: Annotated[str, typer.Option(help="prompt, or workspace: a whole codebase on one side")] = "prompt",
    max_seq_length: Annotated[int, typer.Option(min=64, help="tokens of one row")] = 2048,
    max_calls: Annotated[int, typer.Option(min=1, help="calls of one trajectory")] = MAX_CALLS,
    valid_share: Annotated[float, typer.Option(min=0, max=0.9, help="of the kept, for validation")] = 0.1,
    test_share: Annotated[float, typer.Option(min=0, max=0.9, help="of the kept, for the evaluation to ask")] = 0.1,
    seed: Annotated[int, typer.Option(help="of the order and the splits")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")] = False,
) -> None:
    """Check trajectories, keep the real ones and write a dataset with the proof of what it trains."""
    options = Options(
        format="turns" if format_ == PARQUET else _format(format_),
        parquet=format_ == PARQUET,
        max_seq_length=max_seq_length,
        valid_share=valid_share,
        test_share=test_share,
        seed=seed,
        max_calls=max_calls,
        no_tools_share=_share(mix),
        split_by=_split_by(split_by),
    )
    if valid_share + test_share >= 1:
        raise UsageError(f"--valid-share {valid_share} and --test-share {test_share} leave nothing to train on")
    if options.format == "seed-text":
        _require_seed_split(options)
    lines = Lines(files, keep=out if out.exists() else None)
    curated = run_curate(
        lines.trajectories, out=out, options=options, student=student, progress=_progress, broken=lambda: lines.broken
    )
    tell(curated.summary, out)
    if as_json:
        print(json.dumps({**curated.summary.as_json(), "dataset": str(out)}))
    if not curated.summary.kept:
        raise typer.Exit(1)


class Lines:
    """The trajectories of files; lines that hold none are told on stderr and counted."""

    def __init__(self, files: list[Path], *, keep: Path | None) -> None:
        self._sourced = sources.read(files)
        self._keep = keep
        self.broken = 0

    def trajectories(self) -> Iterator[Trajectory]:
        """Each line's trajectory, in order. Raises UsageError where there is none and a dataset would go for it."""
        read = 0
        for sourced in self._sourced:
            if sourced.trajectory is not None:
                read += 1
                yield sourced.trajectory
                continue
            self.broken += 1
            if self.broken <= TOLD:
                print(f"{sourced.where}: {sourced.problem}", file=sys.stderr)
        if self.broken > TOLD:
            print(f"and {self.broken - TOLD} more lines that could not be read", file=sys.stderr)
        if not read and self._keep:
            raise UsageError(f"no trajectory could be read; {str(self._keep)!r} is left as it was")


def tell(summary: Summary, out: Path) -> None:
    """The summary for people, on stderr."""
    rows = {
        "without tools": summary.without_tools,
        "with tools and real results": summary.with_tools,
        "with tools and no results (skipped)": summary.skipped,
        "rejected for other reasons": summary.rejected - summary.skipped,
        "total": summary.read,
    }
    print("\n".join(f"{count:>8}  {words}" for words, count in rows.items()), file=sys.stderr)
    for title, counts in (("reasons", summary.reasons), ("rows", summary.splits)):
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(f"{title}: {told or 'none'}", file=sys.stderr)
    for limit, count in summary.limits.items():
        print(f"--max-seq-length {limit} would have kept {count} more", file=sys.stderr)
    for warning in summary.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"dataset: {out}  content hash {summary.content_hash}", file=sys.stderr)


def _progress(read: int) -> None:
    if read % STEP == 0:
        print(f"{read} trajectories read", file=sys.stderr)


def _format(text: str) -> Format:
    for known in FORMATS:
        if text == known:
            return known
    raise UsageError(f"there is no format {text!r}; choose one of {', '.join((*FORMATS, PARQUET))}")


def _split_by(text: str) -> SplitBy:
    if text == "prompt" or text == "workspace":
        return "prompt" if text == "prompt" else "workspace"
    raise UsageError(f"--split-by is {text!r}; it takes prompt or workspace")


def _require_seed_split(options: Options) -> None:
    """UsageError for an option that the seed pipeline's own split would leave without effect."""
    fits: dict[str, tuple[object, ...]] = {
        "split_by": ("prompt",), "valid_share": (0.1,), "test_share": (0.1, 0.0), "seed": (0, 42)
    }  # fmt: skip
    for name, values in fits.items():
        if (given := getattr(options, name)) not in values:
            raise UsageError(
                f"--{name.replace('_', '-')} is {given!r}, but seed-text has the seed pipeline's own split "
                "(seed 42, 90% train, 10% valid, no test); leave it out, or choose another --format"
            )


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if name != "no_tools" or not 0 <= share <= 1:
        raise UsageError(f"--mix is {text!r}; it takes no_tools=SHARE with a share from 0 to 1, like no_tools=0.3")
    return share
