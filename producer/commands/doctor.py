"""`applejack doctor`: the named traps on this machine and in the fleet, each with what to do."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from config.diagnostics import DoctorReport
from config.errors import UsageError
from producer.commands.options import Dir, Json, settings_with_dir
from producer.commands.stages import NEEDED
from producer.doctor import run_all
from producer.doctor.workers import ask_worker_side
from producer.output import Output, partial_failure

COLOUR = {"error": "red", "warning": "yellow"}


def doctor(
    student: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Also look at this student: template, markers, stop token, loss, tool parser."
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="The model server to ask [default: $APPLEJACK_ENDPOINT].")
    ] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Find the named traps on this machine and in the fleet. Changes nothing; exit code 1 when one is an error."""
    if student is not None and not student.is_dir():
        raise UsageError(f"no student at {str(student)!r}: give the directory of a model with its tokenizer files")
    output = Output(as_json)
    settings = settings_with_dir(folder)
    if endpoint:
        settings = settings.model_copy(update={"endpoint": endpoint})
    missing = next((name for name in NEEDED if find_spec(name) is None), None)
    seen = run_all(settings) + ask_worker_side(student, missing=missing)
    show(output.console, seen)
    output.result(seen.as_json())
    if seen.errors:
        raise partial_failure()


def show(console: Console, seen: DoctorReport) -> None:
    """Findings, errors first; then what was looked at, and what was not and why."""
    table = Table("severity", "trap", show_lines=True)
    for heading in ("what", "what to do"):
        table.add_column(heading, overflow="fold")  # a path cut short is no use
    for trap in seen.findings:
        colour = COLOUR[trap.severity]
        table.add_row(f"[{colour}]{trap.severity}[/{colour}]", trap.name, escape(trap.message), escape(trap.remedy))
    if seen.findings:
        console.print(table)
    else:
        console.print("[green]nothing found[/green]")
    console.print(f"checked: {escape(', '.join(seen.checked)) or 'nothing'}")
    for unseen in seen.not_checked:
        console.print(f"[yellow]not checked[/yellow] {escape(unseen.check)}: {escape(unseen.why)}")
