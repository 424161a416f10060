"""Health checks of a Mac: macOS version, sleep settings, lid, battery, low power mode, and the origin of its Python."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config.diagnostics import CannotCheckError, Check, Diagnosis

OLDEST_MACOS = 14  # mlx publishes no wheel for an older one
OLDEST_PYTHON = (3, 11)
XCODE = ("Xcode.app", "CommandLineTools")  # folders of Apple's Python, which is version 3.9
COMMAND_SECONDS = 30
NEW_PYTHON = "recreate the environment with another Python: `uv venv --python 3.12`, or Homebrew's python@3.12"


def command_output(*command: str) -> str:
    """What a command prints. Raises CannotCheckError if it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotCheckError(f"`{' '.join(command)}` failed: {error}") from error


@dataclass(frozen=True)
class Mac:
    """A Mac, as its own commands describe it. `caffeinate`: whether its workers keep it awake while they work."""

    caffeinate: bool = True
    output: Callable[..., str] = command_output
    python: tuple[int, int] = sys.version_info[:2]
    base: Path = Path(sys.base_prefix)

    def checks(self) -> list[Check]:
        """The checks of a Mac."""
        return [
            Check("macOS version", self.version),
            Check("Python of this Mac", self.python_origin),
            Check("sleep settings", self.sleep),
            Check("lid", self.lid),
            Check("power", self.power),
        ]

    def version(self) -> Iterator[Diagnosis]:
        """mlx has wheels for macOS 14 and later."""
        version = self.output("sw_vers", "-productVersion").strip()
        major = version.partition(".")[0]
        if not major.isdecimal():
            raise CannotCheckError(f"sw_vers printed {version!r} instead of a version")
        if int(major) < OLDEST_MACOS:
            yield Diagnosis(
                "macos_old",
                "error",
                f"this is macOS {version}; mlx needs macOS {OLDEST_MACOS} or later, so no model can run here",
                "update macOS, or use this Mac only to submit and monitor runs",
            )

    def python_origin(self) -> Iterator[Diagnosis]:
        """Xcode's Python is 3.9, and an update of Xcode replaces it under the environment."""
        if self.python < OLDEST_PYTHON:
            number = ".".join(str(part) for part in self.python)
            oldest = ".".join(str(part) for part in OLDEST_PYTHON)
            yield Diagnosis("python_old", "error", f"this is Python {number}; {oldest} is needed", NEW_PYTHON)
        elif any(folder in self.base.parts for folder in XCODE):
            yield Diagnosis(
                "python_of_xcode",
                "warning",
                f"this environment uses Xcode's Python in {str(self.base)!r}, which an update of Xcode replaces",
                NEW_PYTHON,
            )

    def sleep(self) -> Iterator[Diagnosis]:
        """A sleeping Mac takes no jobs, and loses the leases of those it has."""
        live, custom = settings_of(self.output("pmset", "-g")), settings_of(self.output("pmset", "-g", "custom"))
        minutes = custom.get("AC Power", {}).get("sleep") or live.get("Currently in use", {}).get("sleep")
        if minutes is None:
            raise CannotCheckError("pmset printed no sleep setting")
        if minutes == "0" or sleep_disabled(live):
            return
        after = f"on power, this Mac sleeps after {minutes} min without a user"
        if self.caffeinate:
            message = f"{after}; a worker keeps it awake only while it has work, and takes no new jobs once it sleeps"
        else:
            message = f"{after}, also while a worker has work, because APPLEJACK_CAFFEINATE is off"
        yield Diagnosis(
            "mac_sleeps", "warning", message, "sudo pmset -c sleep 0 (System Settings > Energy, or Battery > Options)"
        )

    def lid(self) -> Iterator[Diagnosis]:
        """A closed lid sleeps whatever caffeinate says, unless power and an external display are connected."""
        properties = self.output("ioreg", "-r", "-k", "AppleClamshellState", "-d", "4")  # a desktop Mac has none
        closed, sleeps = (f'"AppleClamshell{name}" = Yes' in properties for name in ("State", "CausesSleep"))
        if closed and sleeps and not sleep_disabled(settings_of(self.output("pmset", "-g"))):
            yield Diagnosis(
                "lid_closed",
                "error",
                "the lid is closed without an external display: this Mac sleeps between short wake-ups",
                "open the lid (the display may sleep), or connect power and an external display",
            )

    def power(self) -> Iterator[Diagnosis]:
        """A night needs the power adapter, and low power mode slows every model down."""
        if "'Battery Power'" in self.output("pmset", "-g", "batt"):
            yield Diagnosis(
                "on_battery", "warning", "this Mac runs on its battery, which is empty within hours", "connect power"
            )
        live = settings_of(self.output("pmset", "-g")).get("Currently in use", {})
        # powermode is its name on Macs that also have a high power mode: 0 automatic, 1 low, 2 high
        if "1" in (live.get("lowpowermode"), live.get("powermode")):
            yield Diagnosis(
                "low_power_mode",
                "warning",
                "low power mode is on: models run much slower",
                "sudo pmset -a lowpowermode 0 (System Settings > Battery > Low Power Mode)",
            )


def settings_of(text: str) -> dict[str, dict[str, str]]:
    """The sections that pmset prints, each with its settings, without remarks: "1 (sleep prevented by powerd)" is 1."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        if line.endswith(":") and not line[0].isspace():
            current = sections.setdefault(line.removesuffix(":"), {})
        elif match := re.match(r"\s+(\S.*?)\s+(\S+)(\s+\(.*)?$", line):
            current[match[1]] = match[2]
    return sections


def sleep_disabled(live: dict[str, dict[str, str]]) -> bool:
    """Whether `pmset -a disablesleep 1` is set. pmset omits the line where it never was."""
    return live.get("System-wide power settings", {}).get("SleepDisabled") == "1"
