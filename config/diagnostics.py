"""The report of `applejack doctor`: known misconfigurations with remedies, and the checks that were skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from config.errors import ApplejackError
from config.records import JsonObject
from config.troubleshooting import finding_section, link

Severity = Literal["error", "warning"]
ORDER: tuple[Severity, ...] = ("error", "warning")


class CannotCheckError(ApplejackError):
    """A check cannot run here, for the reason in the message. It is reported as skipped, not as passed."""


@dataclass(frozen=True)
class Diagnosis:
    """One problem: an error loses work or time now, a warning may do so later."""

    name: str
    severity: Severity
    message: str
    remedy: str

    @property
    def help(self) -> str:
        """The section of docs/troubleshooting.md about it."""
        return link(finding_section(self.name, self.message))


@dataclass(frozen=True)
class Check:
    """One check: `run` yields problems, and raises ApplejackError or OSError if it cannot check."""

    name: str
    run: Callable[[], Iterable[Diagnosis]]


@dataclass(frozen=True)
class Skipped:
    """A check that could not run."""

    check: str
    why: str


@dataclass(frozen=True)
class DoctorReport:
    """The results of some checks; reports can be added."""

    findings: tuple[Diagnosis, ...] = ()
    checked: tuple[str, ...] = ()
    not_checked: tuple[Skipped, ...] = ()
    facts: tuple[str, ...] = ()
    """what was measured or estimated, such as the memory a student needs; each one line"""

    def __add__(self, other: DoctorReport) -> DoctorReport:
        return DoctorReport(
            tuple(sorted((*self.findings, *other.findings), key=lambda finding: ORDER.index(finding.severity))),
            (*self.checked, *other.checked),
            (*self.not_checked, *other.not_checked),
            (*self.facts, *other.facts),
        )

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def as_json(self) -> JsonObject:
        """The report as printed by --json."""
        return {
            "findings": [{**asdict(finding), "help": finding.help} for finding in self.findings],
            "checked": list(self.checked),
            "not_checked": [dict(asdict(skipped)) for skipped in self.not_checked],
            "facts": list(self.facts),
        }


def run_checks(checks: Sequence[Check]) -> DoctorReport:
    """Run all checks; a check that cannot run does not stop the others."""
    return sum((run_check(check) for check in checks), DoctorReport())


def run_check(check: Check) -> DoctorReport:
    """Run one check. Findings yielded before an exception are kept."""
    findings: list[Diagnosis] = []
    try:
        findings.extend(check.run())
    except (ApplejackError, OSError) as error:
        return DoctorReport(findings=tuple(findings), not_checked=(Skipped(check.name, str(error)),))
    return DoctorReport(findings=tuple(findings), checked=(check.name,))
