"""What `applejack doctor` tells: traps, each with what to do about it, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from config.errors import ApplejackError
from config.records import JsonObject

Severity = Literal["error", "warning"]
ORDER: tuple[Severity, ...] = ("error", "warning")


class CannotCheckError(ApplejackError):
    """A check has nothing to look at here; the message says why. Never taken for "all is well"."""


@dataclass(frozen=True)
class Diagnosis:
    """One thing that loses work or time: `error` when it does so now, `warning` when it may."""

    name: str
    severity: Severity
    message: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """One look at one thing; `look` yields what is wrong, and raises an ApplejackError or OSError when it cannot."""

    name: str
    run: Callable[[], Iterable[Diagnosis]]


@dataclass(frozen=True)
class Skipped:
    """A check that could not be made."""

    check: str
    why: str


@dataclass(frozen=True)
class DoctorReport:
    """What came of a list of checks; they add up."""

    findings: tuple[Diagnosis, ...] = ()
    checked: tuple[str, ...] = ()
    not_checked: tuple[Skipped, ...] = ()

    def __add__(self, other: DoctorReport) -> DoctorReport:
        return DoctorReport(
            tuple(sorted((*self.findings, *other.findings), key=lambda name: ORDER.index(name.severity))),
            (*self.checked, *other.checked),
            (*self.not_checked, *other.not_checked),
        )

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(name.severity == "error" for name in self.findings)

    def as_json(self) -> JsonObject:
        """As `--json` prints it."""
        return {
            "findings": [dict(asdict(name)) for name in self.findings],
            "checked": list(self.checked),
            "not_checked": [dict(asdict(unseen)) for unseen in self.not_checked],
        }


def run_checks(checks: Sequence[Check]) -> DoctorReport:
    """Make every check; one that cannot be made hinders no other."""
    return sum((run_check(check) for check in checks), DoctorReport())


def run_check(check: Check) -> DoctorReport:
    """What came of one check; traps found before it broke off are kept."""
    found: list[Diagnosis] = []
    try:
        found.extend(check.run())
    except (ApplejackError, OSError) as error:
        return DoctorReport(findings=tuple(found), not_checked=(Skipped(check.name, str(error)),))
    return DoctorReport(findings=tuple(found), checked=(check.name,))
