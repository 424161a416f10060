"""`applejack report`, `compare`, `fetch` and `archive`: the results of a run."""

from pathlib import Path
from typing import Annotated

import typer

from config.atomic_files import write_text, writing
from config.errors import UsageError
from config.ledger import Ledger
from config.ledger.adapters import split_name
from config.records import JsonObject, StageState
from config.report.comparison import compare as paired_comparison
from config.report.model import Report
from config.report.outcomes import shared
from config.topology import Stage
from producer.archive import archive as archive_run
from producer.commands.options import Dir, Json, ReportName, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.fetch import fetch as fetch_files
from producer.output import Output, pluralise
from producer.overview import lost_calls
from producer.report import lines as rendering
from producer.report.fitted import paragraph
from producer.report.tracker.collect import collect
from producer.report.tracker.document import add_row


def report(
    run: ReportName,
    html: Annotated[Path | None, typer.Option(help="Also write the report to this HTML file.")] = None,
    tracker: Annotated[
        Path | None,
        typer.Option(
            help="Also add a row to this Markdown file, such as MODEL_PERFORMANCE_TRACKER.md, with the changes and "
            "regressions since the row before. Your own text in it is kept, and so are the rows of archived runs."
        ),
    ] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Show a student's scores before and after training, beside the targets."""
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        scores, lost = read_report(ledger, run), ledger.jobs.lost_calls(split_name(run)[0])
        if tracker:
            add_row(tracker, collect(ledger, scores))
    output.console.print(rendering.format_table(scores))
    if lost:
        output.console.print(paragraph(lost_calls(lost)))
    if html:
        with writing(html):
            write_text(html, rendering.html(scores))
    for file in filter(None, (html, tracker)):
        output.console.print(f"written to {file}")
    body: JsonObject = {
        "run_id": run,
        "metrics": scores.model_dump(mode="json"),
        "verdict": [result.model_dump(mode="json") for result in scores.verdict],
        "html": str(html) if html else None,
        "tracker": str(tracker) if tracker else None,
    }
    output.result({**body, "lost_calls": dict(lost)})


def compare(run1: ReportName, run2: ReportName, folder: Dir = None, as_json: Json = False) -> None:
    """Compare the adapters of two runs, or two of one run, on the prompts that both evaluated.

    Shows both reports side by side, an exact McNemar test over the shared prompts (p below 0.05: the difference is
    unlikely to be chance) and the prompts that only one adapter answered rightly. A prompt is shared if its job id and
    its text are equal, so evaluate both runs on the same held-out prompts.

    Example: applejack compare night-1@v1 night-1@v2
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        first, second = read_report(ledger, run1), read_report(ledger, run2)
    both, names = shared(first.outcomes, second.outcomes), (run1, run2)
    comparison = paired_comparison(both.pairs)
    output.console.print(rendering.compare(first, second))
    not_shared = f"not shared: {both.only_first} of {run1}, {both.only_second} of {run2}"
    output.console.print(paragraph(f"{pluralise(len(both.pairs), 'prompt')} shared; {not_shared}"))
    if first.max_tokens != second.max_tokens:
        warning = f"warning: answers had up to {first.max_tokens} and {second.max_tokens} tokens"
        output.console.print(paragraph(warning, style="yellow"))
    if both.pairs:
        output.console.print(rendering.paired_table(comparison, names))
        output.console.print(rendering.flips(comparison, names))
    output.result(
        {
            "metrics": {run1: first.model_dump(mode="json"), run2: second.model_dump(mode="json")},
            "comparison": comparison.model_dump(mode="json"),
            "shared": len(both.pairs),
            "not_shared": {"first": both.only_first, "second": both.only_second},
        }
    )


def fetch(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Directory to write to [default: runs/RUN under --dir].")] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Copy a run's dataset, adapter and report to this machine, and verify their hashes.

    Replaces the files of an earlier fetch. If the directory contains your own files in their place, nothing is changed.
    """
    output, settings = Output(as_json), settings_with_dir(folder)
    target = out or settings.runs / run
    with open_ledger(settings, stopped=True) as (ledger, _), writing(target):
        ledger.run(run)
        files = fetch_files(ledger, run, target)
    if not files:
        raise UsageError(f"run {run!r} has no files yet; see its progress with `applejack status {run}`")
    for path in files:
        output.console.print(str(path))
    output.result({"run_id": run, "files": [str(path) for path in files]})


def archive(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Directory to create [default: archive/RUN under --dir].")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run in the ledger as well.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Move a finished run from the ledger to a directory: prompts, all attempts, verdicts and result files.

    A cancelled run can be archived as it is. Runs never expire by themselves. The run is removed from Redis only after
    its files were read back from disk.
    """
    output, settings = Output(as_json), settings_with_dir(folder)
    target = out or settings.dir / "archive" / run
    with open_ledger(settings, stopped=True) as (ledger, _), writing(target):
        counts = archive_run(ledger, run, target, keep=keep)
    output.console.print(f"{counts['trajectories']} trajectories of {counts['jobs']} jobs in {target}")
    output.result({"run_id": run, "out": str(target), "left_in_ledger": keep, **counts})


def read_report(ledger: Ledger, name: str) -> Report:
    """The Report of RUN, or of its earlier adapter RUN@vN; UsageError if it has none yet."""
    run_id, version = split_name(name)
    if version is not None:
        return report_of_version(ledger, run_id, version)
    ledger.run(run_id)
    view = ledger.stages.view(run_id, Stage.EVALUATE)
    if view.state is not StageState.DONE:
        state = f"{view.state.value} {view.error}".rstrip()
        raise UsageError(
            f"run {run_id!r} has no report: its evaluation is {state}; `applejack status {run_id}` shows its stages"
        )
    if "skipped" in view.result:
        raise UsageError(f"run {run_id!r} has no report: its evaluation was skipped: {view.result['skipped']}")
    return Report.of_run(run_id, view.result)


def report_of_version(ledger: Ledger, run_id: str, version: int) -> Report:
    """The Report of one of the run's adapters, titled RUN@vN; UsageError if there is none."""
    found = {adapter.version: adapter for adapter in ledger.adapters(run_id)}
    if version not in found:
        versions = ", ".join(f"v{number}" for number in found) or "none"
        raise UsageError(f"run {run_id!r} has no adapter v{version}; its adapters: {versions}")
    if not found[version].report:
        raise UsageError(f"the adapter v{version} of run {run_id!r} has no report: it was not evaluated")
    read = Report.of_run(run_id, found[version].report)
    return read.model_copy(update={"run_id": f"{run_id}@v{version}"})
