"""What only the worker side can look at, asked of it in a process of its own: python -m worker.cli doctor --json"""

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

from config.diagnostics import Diagnosis, DoctorReport, Severity, Skipped
from config.errors import UsageError
from config.exit_codes import EXIT_BAD_INPUT
from config.records import JsonObject

SECONDS = 300  # loads a tokenizer and mlx_lm, which may compile its first kernels
CHECK = "worker side"


def ask_worker_side(student: Path | None, *, missing: str | None) -> DoctorReport:
    """What `python -m worker.cli doctor` found; UsageError when it refuses the student."""
    asked = f"{CHECK}, student" if student else CHECK
    if missing:
        return DoctorReport(
            not_checked=(Skipped(asked, f"{missing} is not installed here; install applejack[worker] to look"),)
        )
    command = [sys.executable, "-P", "-m", "worker.cli", "doctor", "--json"]
    command += ["--student", str(student)] if student else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return DoctorReport(not_checked=(Skipped(asked, f"it has not ended within {SECONDS} s"),))
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == EXIT_BAD_INPUT:
        raise UsageError(last.removeprefix("applejack: "))
    try:
        return examined(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, KeyError, TypeError, IndexError):
        return DoctorReport(not_checked=(Skipped(asked, f"it ended with code {done.returncode}: {last}"),))


def examined(body: JsonObject) -> DoctorReport:
    """The other side's JSON, read back. Raises ValueError, KeyError or TypeError for anything else."""
    findings = cast("list[dict[str, str]]", body["findings"])
    unseen = cast("list[dict[str, str]]", body["not_checked"])
    return DoctorReport(
        findings=tuple(
            Diagnosis(one["name"], cast(Severity, one["severity"]), one["message"], one["remedy"]) for one in findings
        ),
        checked=tuple(str(name) for name in cast("list[str]", body["checked"])),
        not_checked=tuple(Skipped(one["check"], one["why"]) for one in unseen),
    )
