"""Runs the checks that need the worker's libraries, in a separate process: python -m worker.cli doctor --json"""

import json
import subprocess
import sys
from typing import cast

from config.diagnostics import Diagnosis, DoctorReport, Severity, Skipped
from config.errors import UsageError
from config.exit_codes import EXIT_BAD_INPUT
from config.records import JsonObject

SECONDS = 300  # loading a tokenizer and mlx_lm, which may compile kernels at its first start
CHECK = "worker side"


def run_worker_doctor(student: str | None, *, missing: str | None) -> DoctorReport:
    """Run `python -m worker.cli doctor`; UsageError if the student is not on this machine.

    `missing` is a worker library that is not installed; if given, the checks are reported as skipped.
    """
    name = f"{CHECK}, student" if student else CHECK
    if missing:
        return DoctorReport(
            not_checked=(Skipped(name, f"{missing} is not installed; install applejack[worker] to run these checks"),)
        )
    command = [sys.executable, "-P", "-m", "worker.cli", "doctor", "--json"]
    command += ["--student", student] if student else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return DoctorReport(not_checked=(Skipped(name, f"the checks did not finish within {SECONDS} s"),))
    last_line = (done.stderr.strip().splitlines() or ["no output on stderr"])[-1]
    if done.returncode == EXIT_BAD_INPUT:
        raise UsageError(last_line.removeprefix("applejack: "))
    try:
        return parse_report(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, KeyError, TypeError, IndexError):
        return DoctorReport(not_checked=(Skipped(name, f"worker.cli exited with {done.returncode}: {last_line}"),))


def parse_report(body: JsonObject) -> DoctorReport:
    """Parse a report's JSON. Raises ValueError, KeyError or TypeError if it is not a report."""
    findings = cast("list[dict[str, str]]", body["findings"])
    not_checked = cast("list[dict[str, str]]", body["not_checked"])
    return DoctorReport(
        findings=tuple(
            Diagnosis(finding["name"], cast(Severity, finding["severity"]), finding["message"], finding["remedy"])
            for finding in findings
        ),
        checked=tuple(str(name) for name in cast("list[str]", body["checked"])),
        not_checked=tuple(Skipped(entry["check"], entry["why"]) for entry in not_checked),
        facts=tuple(str(fact) for fact in cast("list[str]", body["facts"])),
    )
