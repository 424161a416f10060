"""The doctor's look at this machine: Python, whose packages are imported, disk, files that hold passwords."""

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import producer
from config.diagnostics import CannotCheckError, Check, Diagnosis
from producer.stack.redis_server import CONFIG_FILE, STACK_FILE

OURS = ("config", "producer", "worker")
SYSTEMS = ("Darwin", "Linux")
SCANT_BYTES = 5_000_000_000  # a night of checkpoints, logs and an append-only file
NO_BYTES = 1_000_000_000  # workers stop taking jobs at about this much
LOOK_SECONDS = 30
# Asked in a process that starts as workers do: away from the checkout, without the working directory on its path.
WHOSE = """\
import importlib.util, json
specs = {name: importlib.util.find_spec(name) for name in %r}
places = {name: [spec.origin or "", *(spec.submodule_search_locations or [])] for name, spec in specs.items() if spec}
print(json.dumps({name: next(place for place in found if place) for name, found in places.items()}))
"""


class Host(NamedTuple):
    """What kind of machine this Python thinks it runs on."""

    system: str
    machine: str
    translated: bool
    """an Intel Python under Rosetta on Apple Silicon"""


@dataclass(frozen=True)
class Machine:
    """This machine, as far as applejack's own folder `directory` and environment go."""

    directory: Path
    host: Host
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    python: str = sys.executable
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    def checks(self) -> list[Check]:
        """What is looked at."""
        return [
            Check("platform", self.platform),
            Check("packages", self.packages),
            Check("disk", self.disk),
            Check("files with passwords", self.private),
        ]

    def platform(self) -> Iterator[Diagnosis]:
        """mlx runs on Apple Silicon and on Linux; an Intel Python on an Apple Silicon Mac has no mlx."""
        if self.host.translated:
            yield Diagnosis(
                "rosetta",
                "error",
                "this Python is an Intel build that runs under Rosetta: mlx does not exist for it",
                "install an arm64 Python (`uv python install 3.12`) and make the environment anew",
            )
        elif self.host.system == "Darwin" and self.host.machine != "arm64":
            yield Diagnosis(
                "intel_mac",
                "warning",
                "this is an Intel Mac: it can submit and watch, but mlx does not run here",
                "run workers on Apple Silicon or Linux",
            )
        elif self.host.system not in SYSTEMS:
            yield Diagnosis(
                "platform",
                "error",
                f"{self.host.system!r} is not supported: locks and child processes need macOS or Linux",
                "use macOS, Linux, or Linux inside WSL",
            )

    def packages(self) -> Iterator[Diagnosis]:
        """Somebody else's package called config, producer or worker may stand before ours on sys.path."""
        ours = Path(producer.__file__).resolve().parent.parent
        origins = self.origins()
        for name in sorted(set(OURS) - set(origins)):
            yield Diagnosis(
                "not_installed",
                "error",
                f"{self.python} finds no package {name!r} from another folder: workers cannot start",
                "install applejack into it: `pip install -e .` in the checkout",
            )
        for name, origin in origins.items():
            if not Path(origin).resolve().is_relative_to(ours / name):
                yield Diagnosis(
                    "foreign_package",
                    "error",
                    f"`import {name}` finds {origin!r}, not {str(ours / name)!r}: workers start with the wrong code",
                    "take it off PYTHONPATH or uninstall it; an environment of applejack's own is best",
                )
        for name in OURS:
            here = Path.cwd() / name
            if here != ours / name and (here.is_dir() or here.with_suffix(".py").is_file()):
                yield Diagnosis(
                    "shadowing_folder",
                    "warning",
                    f"{str(here)!r} is imported instead of ours by `celery -A worker.app` when it is run here",
                    "start workers with `applejack worker`, which does so elsewhere, or from another folder",
                )

    def origins(self) -> dict[str, str]:
        """Where a fresh process finds our packages."""
        with tempfile.TemporaryDirectory() as elsewhere:
            try:
                done = subprocess.run(
                    [self.python, "-P", "-c", WHOSE % (OURS,)],
                    capture_output=True,
                    text=True,
                    cwd=elsewhere,
                    env=dict(self.environment),
                    timeout=LOOK_SECONDS,
                    check=True,
                )
                found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
            except (subprocess.SubprocessError, ValueError, IndexError) as error:
                raise CannotCheckError(f"a fresh {self.python} does not say what it imports: {error}") from error
        return found

    def disk(self) -> Iterator[Diagnosis]:
        """Room for runs, models and the server's data."""
        folder = next(
            place for place in (self.directory.absolute(), *self.directory.absolute().parents) if place.is_dir()
        )
        if not os.access(folder, os.W_OK):
            yield Diagnosis("dir_not_writable", "error", f"{str(folder)!r} cannot be written", "choose another --dir")
        free = self.free(folder)
        if free < SCANT_BYTES:
            yield Diagnosis(
                "disk_full",
                "error" if free < NO_BYTES else "warning",
                f"{str(folder)!r} has {free / 1e9:.1f} GB free",
                "make room, or choose another --dir (APPLEJACK_DIR)",
            )

    def private(self) -> Iterator[Diagnosis]:
        """The embedded server's password stands in two files."""
        for name in (STACK_FILE, CONFIG_FILE):
            file = self.directory / name
            if file.is_file() and stat.S_IMODE(file.stat().st_mode) & 0o077:
                yield Diagnosis(
                    "password_readable",
                    "error",
                    f"{str(file)!r} holds a password and can be read by other users",
                    f"chmod 600 {str(file)!r}",
                )


def this_host() -> Host:
    """The machine we run on."""
    system, machine = platform.system(), platform.machine()
    return Host(system, machine, system == "Darwin" and machine == "x86_64" and _translated())


def _translated() -> bool:
    try:
        said = subprocess.run(
            ["sysctl", "-n", "sysctl.proc_translated"],
            capture_output=True,
            text=True,
            timeout=LOOK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return said.stdout.strip() == "1"
