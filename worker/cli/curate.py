"""The curate stage on files: `python -m worker.cli curate IN.jsonl... --out DIR --student MODEL`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer

from config.errors import UsageError
from config.records import JsonObject, Trajectory
from config.settings import settings
from config.terminal import say, say_json
from worker.curate import sources
from worker.curate.options import FORMATS, MAX_CALLS, SPLITS_BY, Format, Options, SplitBy, Summary
from worker.curate.pipeline import curate as run_curate
from worker.curate.replay import Replay
from worker.models.resolve import local_model

SHOWN_LINES = 20  # broken lines that are printed
PARQUET = "parquet"  # the rows of `turns`, also written as parquet files
STEP = 500  # trajectories per line of progress


def curate(
    files: Annotated[list[Path], typer.Argument(help="trajectories or seed records, JSONL")],
    out: Annotated[Path, typer.Option(help="directory of the dataset; an existing dataset is replaced")],
    student: Annotated[
        str | None, typer.Option(metavar="MODEL", help="model: directory or hub id on this machine; not for seed-text")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="text, turns, seed-text, or parquet (turns, also as parquet files)")
    ] = "text",
    keep_wrong: Annotated[
        bool, typer.Option("--keep-wrong", help="keep answers that contradict the prompt's expected answer")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay/--no-replay", help="execute recorded calls again where their code is at hand")
    ] = True,
    mix: Annotated[str | None, typer.Option(help="no_tools=0.3: share of examples without tools")] = None,
    split_by: Annotated[
        str,
        typer.Option(
            help="prompt; workspace (each codebase in one split); or auto: by prompt, and with several codebases whole "
            "ones are held out for the test if the test share allows it"
        ),
    ] = "auto",
    max_seq_length: Annotated[int, typer.Option(min=64, help="most tokens of one row")] = 2048,
    max_calls: Annotated[int, typer.Option(min=1, help="most calls of one trajectory")] = MAX_CALLS,
    valid_share: Annotated[float, typer.Option(min=0, max=0.9, help="share of the kept for validation")] = 0.1,
    test_share: Annotated[float, typer.Option(min=0, max=0.9, help="share of the kept for the evaluation")] = 0.1,
    seed: Annotated[int, typer.Option(help="random seed of the order and the splits")] = 0,
    system_prompt: Annotated[
        str | None,
        typer.Option(
            help="system prompt of every row. seed-text replaces recorded ones; "
            "other formats reject a record with a different one"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")] = False,
) -> None:
    """Check trajectories, keep the valid ones and write a dataset with a loss-mask check.

    A line is a trajectory of a run, or a record of the seed generator:

    {"query": "...",
    "tool_calls": [{"tool" or "name": "...",
    "args": object or JSON text, "result": "..."}],
    "answer": "...",
    "metadata": {"category": "...", "requires_tools": true}}

    "result" is the output of the tool. A record with a missing or null result is
    rejected. "metadata" is optional; without it, the question needs tools. The
    category "negative" needs none, unless "requires_tools" is true.
    """
    options = Options(
        format="turns" if format_ == PARQUET else _format(format_),
        parquet=format_ == PARQUET,
        max_seq_length=max_seq_length,
        valid_share=valid_share,
        test_share=test_share,
        seed=seed,
        max_calls=max_calls,
        keep_wrong=keep_wrong,
        no_tools_share=_share(mix),
        split_by=_split_by(split_by),
        system_prompt=system_prompt,
    )
    if system_prompt is not None and not system_prompt.strip():
        raise UsageError(f"--system-prompt is {system_prompt!r}; set a text, or omit it")
    if valid_share + test_share >= 1:
        raise UsageError(f"--valid-share {valid_share} and --test-share {test_share} leave nothing to train on")
    if options.format == "seed-text":
        _require_seed_split(options)
    sources.require_trajectory(files)
    lines = Lines(files)
    curated = run_curate(
        lines.trajectories,
        out=out,
        options=options,
        student=local_model(student, weights=False).path if student else None,
        replay=Replay(settings().cache) if replay else None,
        progress=progress,
        broken=lambda: lines.broken,
    )
    print_summary(curated.summary, out, to=sys.stderr if as_json else sys.stdout)
    if as_json:
        say_json({**curated.summary.as_json(), "dataset": str(out)})
    if not curated.summary.kept:
        raise typer.Exit(1)


class Lines:
    """Reads the trajectories of files; prints unreadable lines to stderr and counts them."""

    def __init__(self, files: list[Path]) -> None:
        self._sourced = sources.read(files)
        self.broken = 0

    def trajectories(self) -> Iterator[Trajectory]:
        """Each line's trajectory, in order."""
        for sourced in self._sourced:
            if sourced.trajectory is not None:
                yield sourced.trajectory
                continue
            self.broken += 1
            if self.broken <= SHOWN_LINES:
                say(f"{sourced.where}: {sourced.problem}", file=sys.stderr)
        if self.broken > SHOWN_LINES:
            say(f"and {self.broken - SHOWN_LINES} more lines that could not be read", file=sys.stderr)


def print_summary(summary: Summary, out: Path, *, to: TextIO) -> None:
    """Print the summary as text."""
    rows = {
        "without tools": summary.without_tools,
        "with tools and real results": summary.with_tools,
        "with tools and no results (skipped)": summary.skipped,
        "rejected for other reasons": summary.rejected - summary.skipped,
        "total": summary.read,
    }
    say("\n".join(f"{count:>8}  {label}" for label, count in rows.items()), file=to)
    if summary.correct["of"]:
        say(f"correct: {summary.correct['count']} of {summary.correct['of']} answers with an expected answer", file=to)
    say(f"replayed: {replay_line(summary.replayed) if summary.replayed else 'off'}", file=to)
    for title, counts in (("reasons", summary.reasons), ("rows", summary.splits)):
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        say(f"{title}: {listed or 'none'}", file=to)
    for limit, count in summary.limits.items():
        say(f"--max-seq-length {limit} would keep {count} more", file=to)
    for warning in summary.warnings:
        say(f"warning: {warning}", file=to)
    say(f"dataset: {out}  content hash {summary.content_hash}", file=to)


def replay_line(counts: JsonObject) -> str:
    """The counts of a replay in one line."""
    causes = counts["not_replayed"]
    assert isinstance(causes, dict)
    listed = ", ".join(f"{cause} {count}" for cause, count in causes.items())
    told = f"{counts['calls']} calls executed again, {counts['matched']} match, {counts['differing']} differ"
    return f"{told}; trajectories not replayed: {listed}" if causes else told


def progress(read: int) -> None:
    """Print a line for every STEP trajectories."""
    if read % STEP == 0:
        say(f"{read} trajectories read", file=sys.stderr)


def _format(text: str) -> Format:
    for known in FORMATS:
        if text == known:
            return known
    raise UsageError(f"unknown format {text!r}; choose one of {', '.join((*FORMATS, PARQUET))}")


def _split_by(text: str) -> SplitBy:
    for known in SPLITS_BY:
        if text == known:
            return known
    raise UsageError(f"--split-by is {text!r}; choose one of {', '.join(SPLITS_BY)}")


def _require_seed_split(options: Options) -> None:
    """Raise UsageError for an option that seed-text would ignore."""
    fits: dict[str, tuple[object, ...]] = {
        "split_by": ("auto", "prompt"), "valid_share": (0.1,), "test_share": (0.1, 0.0), "seed": (0, 42)
    }  # fmt: skip
    for name, values in fits.items():
        if (given := getattr(options, name)) not in values:
            raise UsageError(
                f"--{name.replace('_', '-')} is {given!r}, but seed-text has a fixed split "
                "(seed 42, 90% train, 10% valid, no test); omit it, or choose another --format"
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
        raise UsageError(f"--mix is {text!r}; use no_tools=SHARE with a share from 0 to 1, such as no_tools=0.3")
    return share
