"""`applejack report`, `compare` and `fetch`: what a run left behind."""

from pathlib import Path
from typing import Annotated

import typer

from config.errors import UsageError
from config.files import write_text, writing
from config.ledger import Ledger
from config.records import StageState
from config.report.model import Report
from config.topology import Stage
from producer import fetch as fetched
from producer.archive import archive as moved
from producer.commands.options import Dir, Json, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.output import Output
from producer.report import lines as rendering


def report(
    run: RunId,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one self-contained page.")] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """The student's scores before and after training, beside the targets."""
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        found = report_of(ledger, run)
    output.console.print(rendering.format_table(found))
    if html:
        with writing(html):
            write_text(html, rendering.html(found))
        output.console.print(f"written to {html}")
    output.result({"run_id": run, "metrics": found.model_dump(mode="json"), "html": str(html) if html else None})


def compare(run1: RunId, run2: RunId, folder: Dir = None, as_json: Json = False) -> None:
    """The reports of two runs side by side."""
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        one, two = report_of(ledger, run1), report_of(ledger, run2)
    output.console.print(rendering.compare(one, two))
    output.result({"metrics": {run1: one.model_dump(mode="json"), run2: two.model_dump(mode="json")}})


def fetch(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Where to put them [default: runs/RUN under --dir].")] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Bring a run's dataset, adapter and report to this machine, each checked against its hash.

    What an earlier fetch left there is replaced; files of your own there are refused, and nothing is changed.
    """
    output, settings = Output(as_json), settings_with_dir(folder)
    target = out or settings.runs / run
    with open_ledger(settings, stopped=True) as (ledger, _), writing(target):
        ledger.run(run)
        files = fetched.fetch(ledger, run, target)
    if not files:
        raise UsageError(f"run {run!r} has no files yet; `applejack status {run}` says where it stands")
    for path in files:
        output.console.print(str(path))
    output.result({"run_id": run, "files": [str(path) for path in files]})


def archive(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="The folder to make [default: archive/RUN under --dir].")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the run in the ledger too.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Move an ended run out of the ledger into a folder: prompts, every attempt, verdicts, dataset, adapter, report.

    Nothing expires by itself. The run is removed from Redis only after all of it has been read back from the disk.
    """
    output, settings = Output(as_json), settings_with_dir(folder)
    target = out or settings.dir / "archive" / run
    with open_ledger(settings, stopped=True) as (ledger, _), writing(target):
        counts = moved(ledger, run, target, keep=keep)
    output.console.print(f"{counts['trajectories']} trajectories of {counts['jobs']} jobs in {target}")
    output.result({"run_id": run, "out": str(target), "left_in_ledger": keep, **counts})


def report_of(ledger: Ledger, run_id: str) -> Report:
    """The run's Report; UsageError when it has none yet."""
    ledger.run(run_id)
    view = ledger.stages.view(run_id, Stage.EVALUATE)
    if view.state is not StageState.DONE:
        raise UsageError(f"run {run_id!r} has no report: its evaluation is {view.state.value} {view.error}".rstrip())
    return Report.model_validate(view.result)
