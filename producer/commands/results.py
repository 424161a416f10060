"""`applejack report`, `compare`, `fetch` and `archive`: the results of a run."""

from pathlib import Path
from typing import Annotated

import typer

from config.atomic_files import write_text, writing
from config.errors import UsageError
from config.ledger import Ledger
from config.ledger.adapters import split_name
from config.records import JsonObject, StageState
from config.report.model import Report
from config.topology import Stage
from producer.archive import archive as archive_run
from producer.commands.options import Dir, Json, ReportName, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.fetch import fetch as fetch_files
from producer.follow import lost_calls
from producer.output import Output
from producer.report import lines as rendering


def report(
    run: ReportName,
    html: Annotated[Path | None, typer.Option(help="Also write the report to this HTML file.")] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Show a student's scores before and after training, beside the targets."""
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        scores, lost = read_report(ledger, run), ledger.jobs.lost_calls(split_name(run)[0])
    output.console.print(rendering.format_table(scores))
    if lost:
        output.console.print(lost_calls(lost))
    if html:
        with writing(html):
            write_text(html, rendering.html(scores))
        output.console.print(f"written to {html}")
    body: JsonObject = {"run_id": run, "metrics": scores.model_dump(mode="json"), "html": str(html) if html else None}
    output.result({**body, "lost_calls": dict(lost)})


def compare(run1: ReportName, run2: ReportName, folder: Dir = None, as_json: Json = False) -> None:
    """Compare the reports of two runs, or two adapters of one run, side by side.

    Example: applejack compare night-1@v1 night-1@v2
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        first, second = read_report(ledger, run1), read_report(ledger, run2)
    output.console.print(rendering.compare(first, second))
    output.result({"metrics": {run1: first.model_dump(mode="json"), run2: second.model_dump(mode="json")}})


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

    Runs never expire by themselves. The run is removed from Redis only after its files were read back from disk.
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
    return Report.model_validate(view.result)


def report_of_version(ledger: Ledger, run_id: str, version: int) -> Report:
    """The Report of one of the run's adapters, titled RUN@vN; UsageError if there is none."""
    found = {adapter.version: adapter for adapter in ledger.adapters(run_id)}
    if version not in found:
        versions = ", ".join(f"v{number}" for number in found) or "none"
        raise UsageError(f"run {run_id!r} has no adapter v{version}; its adapters: {versions}")
    if not found[version].report:
        raise UsageError(f"the adapter v{version} of run {run_id!r} has no report: it was not evaluated")
    read = Report.model_validate(found[version].report)
    return read.model_copy(update={"run_id": f"{run_id}@v{version}"})
