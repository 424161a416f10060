"""Audits a training set: `python -m worker.cli audit DIR|FILE... [--student MODEL]`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from config.terminal import say, say_json
from worker.curate.audit import audit as run_audit
from worker.curate.audit import student_measure
from worker.models.resolve import local_model


def audit(
    paths: Annotated[list[Path], typer.Argument(help="Directory of a training set, or its .jsonl files.")],
    student: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Also find rows that are too long for this directory or hub id on this machine."
        ),
    ] = None,
    max_seq_length: Annotated[int, typer.Option(min=1, help="Tokens of one row, with --student.")] = 2048,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Find faults in any training set: duplicates, leaks, lost calls, fabricated results."""
    measure = student_measure(local_model(student, weights=False).path) if student else None
    audited = run_audit(paths, measure=measure, max_seq_length=max_seq_length)
    say(audited.as_text(), file=sys.stderr if as_json else sys.stdout)
    if as_json:
        say_json(audited.as_json())
    if not audited.clean:
        raise typer.Exit(1)
