"""What `applejack doctor` tells: traps, each with what to do about it, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from config.errors import ApplejackError
from config.records import JsonObject

Severity = Literal["error", "warning"]
ORDER: tuple[Severity, ...] = ("error", "warning")


class CannotLookError(ApplejackError):
    """A check has nothing to look at here; the message says why. Never taken for "all is well"."""


@dataclass(frozen=True)
class Trap:
    """One thing that loses work or time: `error` when it does so now, `warning` when it may."""

    trap: str
    severity: Severity
    told: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """One look at one thing; `look` yields what is wrong, and raises an ApplejackError or OSError when it cannot."""

    name: str
    look: Callable[[], Iterable[Trap]]


@dataclass(frozen=True)
class Unseen:
    """A check that could not be made."""

    check: str
    why: str


@dataclass(frozen=True)
class Examined:
    """What came of a list of checks; they add up."""

    findings: tuple[Trap, ...] = ()
    checked: tuple[str, ...] = ()
    not_checked: tuple[Unseen, ...] = ()

    def __add__(self, other: Examined) -> Examined:
        return Examined(
            tuple(sorted((*self.findings, *other.findings), key=lambda trap: ORDER.index(trap.severity))),
            (*self.checked, *other.checked),
            (*self.not_checked, *other.not_checked),
        )

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(trap.severity == "error" for trap in self.findings)

    def as_json(self) -> JsonObject:
        """As `--json` prints it."""
        return {
            "findings": [dict(asdict(trap)) for trap in self.findings],
            "checked": list(self.checked),
            "not_checked": [dict(asdict(unseen)) for unseen in self.not_checked],
        }


def examine(checks: Sequence[Check]) -> Examined:
    """Make every check; one that cannot be made hinders no other."""
    return sum((one(check) for check in checks), Examined())


def one(check: Check) -> Examined:
    """What came of one check; traps found before it broke off are kept."""
    found: list[Trap] = []
    try:
        found.extend(check.look())
    except (ApplejackError, OSError) as error:
        return Examined(findings=tuple(found), not_checked=(Unseen(check.name, str(error)),))
    return Examined(findings=tuple(found), checked=(check.name,))
