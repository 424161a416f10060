"""The worker's side of `applejack doctor`: python -m worker.cli doctor [--student MODEL]"""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from config.diagnostics import run_checks
from config.exit_codes import EXIT_INCOMPLETE
from config.terminal import say, say_json
from worker.device.budget import budget_lines
from worker.device.machine import this_machine
from worker.device.model_memory import Model
from worker.doctor.host_checks import Host
from worker.doctor.student_checks import StudentDoctor
from worker.models.resolve import local_model


def doctor(
    student: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A student to check: directory or hub id on this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Check this machine as a worker, and a student with the memory it needs here.

    The exit code is 1 if a finding is an error.
    """
    directory = local_model(student).path if student is not None else None
    report = run_checks(Host().checks())
    if directory is not None:
        report += run_checks(StudentDoctor(directory).checks())
        report = replace(report, facts=tuple(budget_lines(Model.of(directory), this_machine())))
    out = sys.stderr if as_json else sys.stdout
    for finding in report.findings:
        say(f"{finding.severity} {finding.name}: {finding.message}\n    {finding.remedy}\n    {finding.help}", file=out)
    for skipped in report.not_checked:
        say(f"not checked {skipped.check}: {skipped.why}", file=out)
    for fact in report.facts:
        say(fact, file=out)
    say(f"checked: {', '.join(report.checked)}", file=out)
    if as_json:
        say_json(report.as_json())
    if report.errors:
        raise typer.Exit(EXIT_INCOMPLETE)
