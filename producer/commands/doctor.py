"""`applejack doctor`: known misconfigurations on this machine and in the fleet, each with its remedy."""

from importlib.util import find_spec
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.diagnostics import DoctorReport
from config.model_names import parse_model
from producer.commands.options import Dir, Json, require_url, settings_with_dir
from producer.commands.stages import WORKER_PACKAGES
from producer.doctor import run_all
from producer.doctor.workers import run_worker_doctor
from producer.output import Output, partial_failure
from producer.wrapping import wrap

COLOUR = {"error": "red", "warning": "yellow"}
TABLE_WIDTH = 160  # columns; below, a column is narrower than an address with a path


def doctor(
    student: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also check this model (directory or hub id): template, stop token, loss, tool parser, memory.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="URL of the model server to check [default: $APPLEJACK_ENDPOINT].")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model to request from the endpoint [default: $APPLEJACK_MODEL].")
    ] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Check this machine and the fleet for known misconfigurations.

    Prints each finding with its remedy and its section of docs/troubleshooting.md, and changes nothing. The exit code
    is 1 if a finding is an error. The endpoint is asked for one token and for a tool call; the remedy fits the server
    found there (docs/endpoints.md).
    """
    if student is not None:
        parse_model(student)
    output = Output(as_json)
    settings = settings_with_dir(folder)
    if endpoint:
        require_url(endpoint)
        settings = settings.model_copy(update={"endpoint": endpoint})
    if model:
        settings = settings.model_copy(update={"model": model})
    missing = next((name for name in WORKER_PACKAGES if find_spec(name) is None), None)
    report = run_all(settings) + run_worker_doctor(student, missing=missing)
    print_report(output.console, report)
    output.result(report.as_json())
    if report.errors:
        raise partial_failure()


def print_report(console: Console, report: DoctorReport) -> None:
    """Print the findings, errors first; then the checks that ran, and those that were skipped, with the reason."""
    if not report.findings:
        console.print("no problems found", style="green")
    elif console.width >= TABLE_WIDTH:
        console.print(findings_table(report))
    for finding in report.findings if console.width < TABLE_WIDTH else ():  # columns would cut addresses and paths
        console.print(f"{finding.severity}: {finding.name}", style=COLOUR[finding.severity], markup=False)
        for text in (finding.message, f"remedy: {finding.remedy}"):
            say(console, text, first="  ")
    for page in dict.fromkeys(finding.help for finding in report.findings):
        names = dict.fromkeys(finding.name for finding in report.findings if finding.help == page)
        say(console, f"more: {page} ({', '.join(names)})")
    for fact in report.facts:
        say(console, fact)
    say(console, f"checked: {', '.join(report.checked) or 'nothing'}")
    for skipped in report.not_checked:
        say(console, f"not checked: {skipped.check}: {skipped.why}", style="yellow")


def findings_table(report: DoctorReport) -> Table:
    """The findings side by side, for a wide terminal."""
    table = Table("severity", "finding", show_lines=True)
    for heading in ("problem", "remedy"):
        table.add_column(heading, overflow="fold")  # truncated paths would be useless
    for finding in report.findings:
        severity = Text(finding.severity, style=COLOUR[finding.severity])
        table.add_row(severity, finding.name, Text(finding.message), Text(finding.remedy))
    return table


def say(console: Console, text: str, *, first: str = "", style: str = "") -> None:
    """Print text that is wrapped between words, so that addresses, paths and commands stay whole."""
    console.print("\n".join(wrap(text, console.width, first=first)), style=style, markup=False)
