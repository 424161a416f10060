"""The worker's side of `applejack doctor`: python -m worker.cli doctor [--student MODEL]"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from config.diagnostics import run_checks
from config.errors import UsageError
from config.exit_codes import EXIT_INCOMPLETE
from worker.doctor.host_checks import Host
from worker.doctor.student_checks import StudentDoctor


def doctor(
    student: Annotated[Path | None, typer.Option(metavar="MODEL", help="Directory of the student to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Look at this machine as a worker sees it, and at a student. Exit code 1 when a finding is an error."""
    if student is not None and not student.is_dir():
        raise UsageError(f"no student at {str(student)!r}: give the directory of a model with its tokenizer files")
    seen = run_checks(Host().checks())
    if student is not None:
        seen += run_checks(StudentDoctor(student).checks())
    people = sys.stderr if as_json else sys.stdout
    for trap in seen.findings:
        print(f"{trap.severity} {trap.name}: {trap.message}\n    {trap.remedy}", file=people)
    for unseen in seen.not_checked:
        print(f"not checked {unseen.check}: {unseen.why}", file=people)
    print(f"checked: {', '.join(seen.checked)}", file=people)
    if as_json:
        print(json.dumps(seen.as_json(), ensure_ascii=False))
    if seen.errors:
        raise typer.Exit(EXIT_INCOMPLETE)
