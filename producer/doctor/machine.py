"""Health checks of this machine: Python build, packages, git, disk space, memory, descriptors."""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

import producer
from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.environment import outside_environment
from producer.doctor.mac import Mac

OURS = ("config", "producer", "worker")
SYSTEMS = ("Darwin", "Linux")
LOW_BYTES = 5_000_000_000  # checkpoints, logs and an append-only file of one night
FULL_BYTES = 1_000_000_000  # workers pause at about this much free space
COMMAND_SECONDS = 30
SMALL_MEMORY = 12e9  # bytes; the weights of a 7B model at 4 bit take 4.3 GB, and macOS gives a GPU about two thirds
DESCRIPTORS = 40  # open files of a worker without jobs: 20 on Linux, doubled
DESCRIPTORS_PER_JOB = 6  # 3.6 with 16 jobs that wait for their endpoint; tools add git's pipes
DEFAULT_JOBS = 16  # threads of a generate worker without --concurrency
# Runs in a process that starts as workers do: outside the checkout, and without the working directory on sys.path.
FIND_PACKAGES = """\
import importlib.util, json
specs = {name: importlib.util.find_spec(name) for name in %r}
places = {name: [spec.origin or "", *(spec.submodule_search_locations or [])] for name, spec in specs.items() if spec}
print(json.dumps({name: next(place for place in found if place) for name, found in places.items()}))
"""


class Host(NamedTuple):
    """The platform, as this Python reports it."""

    system: str
    machine: str
    translated: bool
    """an Intel Python under Rosetta on Apple Silicon"""


@dataclass(frozen=True)
class Machine:
    """This machine; `directory` is where applejack stores its data."""

    directory: Path
    host: Host
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    python: str = sys.executable
    find: Callable[[str], str | None] = shutil.which
    """a program's path"""
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    memory: Callable[[], int] = lambda: psutil.virtual_memory().total
    descriptors: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    concurrency: int | None = None
    """the setting"""
    mac: Mac = field(default_factory=Mac)

    def checks(self) -> list[Check]:
        """All checks of this machine."""
        return [
            Check("platform", self.platform),
            Check("packages", self.packages),
            Check("git", self.git),
            Check("disk", self.disk),
            Check("memory", self.small_memory),
            Check("open files", self.open_files),
            *(self.mac.checks() if self.host.system == "Darwin" else []),
        ]

    def platform(self) -> Iterator[Diagnosis]:
        """mlx supports Apple Silicon and Linux, but not an Intel Python on an Apple Silicon Mac."""
        if self.host.translated:
            yield Diagnosis(
                "rosetta",
                "error",
                "this Python is an Intel build running under Rosetta, which mlx does not support",
                "install an arm64 Python (`uv python install 3.12`) and recreate the environment",
            )
        elif self.host.system == "Darwin" and self.host.machine != "arm64":
            yield Diagnosis(
                "intel_mac",
                "warning",
                "this is an Intel Mac: it can submit and monitor runs, but mlx does not run on it",
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
        """Another package named config, producer or worker may come before applejack's on sys.path."""
        ours = Path(producer.__file__).resolve().parent.parent
        origins = self.origins()
        for name in sorted(set(OURS) - set(origins)):
            yield Diagnosis(
                "not_installed",
                "error",
                f"{self.python} cannot import {name!r} outside the checkout: workers cannot start",
                "install applejack in that environment: `pip install -e .` in the checkout",
            )
        for name, origin in origins.items():
            if not Path(origin).resolve().is_relative_to(ours / name):
                yield Diagnosis(
                    "foreign_package",
                    "error",
                    f"`import {name}` imports {origin!r} instead of {str(ours / name)!r}: workers run the wrong code",
                    "remove it from PYTHONPATH or uninstall it, or install applejack in its own environment",
                )
        for name in OURS:
            here = Path.cwd() / name
            if here != ours / name and (here.is_dir() or here.with_suffix(".py").is_file()):
                yield Diagnosis(
                    "shadowing_folder",
                    "warning",
                    f"`celery -A worker.app` imports {str(here)!r} instead of applejack's package if started here",
                    "start workers with `applejack worker`, or from another directory",
                )

    def origins(self) -> dict[str, str]:
        """Path of each of applejack's packages, as a new process imports them."""
        with tempfile.TemporaryDirectory() as elsewhere:
            try:
                done = subprocess.run(
                    [self.python, "-P", "-c", FIND_PACKAGES % (OURS,)],
                    capture_output=True,
                    text=True,
                    cwd=elsewhere,
                    env=outside_environment(self.environment),
                    timeout=COMMAND_SECONDS,
                    check=True,
                )
                origins: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
            except (subprocess.SubprocessError, ValueError, IndexError) as error:
                raise CannotCheckError(f"could not list the packages that {self.python} imports: {error}") from error
        return origins

    def git(self) -> Iterator[Diagnosis]:
        """Workspaces are pinned with git, and a worker makes its checkouts with it."""
        if self.find("git") is None:
            yield Diagnosis(
                "git_missing",
                "error",
                "git is not on the PATH: a workspace PATH@REV or URL@REV cannot be read, nor a repository's directory",
                "install it (macOS: xcode-select --install; Debian: apt install git)",
            )

    def disk(self) -> Iterator[Diagnosis]:
        """Free disk space for runs, models and the server's data."""
        folder = next(
            parent for parent in (self.directory.absolute(), *self.directory.absolute().parents) if parent.is_dir()
        )
        if not os.access(folder, os.W_OK):
            yield Diagnosis("dir_not_writable", "error", f"{str(folder)!r} is not writable", "choose another --dir")
        free = self.free(folder)
        if free < LOW_BYTES:
            yield Diagnosis(
                "disk_full",
                "error" if free < FULL_BYTES else "warning",
                f"{str(folder)!r} has {free / 1e9:.1f} GB free",
                "free some disk space, or choose another --dir (APPLEJACK_DIR)",
            )

    def small_memory(self) -> Iterator[Diagnosis]:
        """A plain lower limit; what a particular model needs depends on the model."""
        if (memory := self.memory()) < SMALL_MEMORY:
            yield Diagnosis(
                "small_memory",
                "warning",
                f"this machine has {memory / 1e9:.1f} GB of memory, too little for a 7B model at 4 bit",
                "submit, curate and monitor here, or use a smaller model",
            )

    def open_files(self) -> Iterator[Diagnosis]:
        """launchd and macOS' shells start processes with a limit of 256 open files."""
        jobs = self.concurrency or DEFAULT_JOBS
        limit, needed = self.descriptors(), DESCRIPTORS + DESCRIPTORS_PER_JOB * jobs
        if 0 <= limit < needed:  # RLIM_INFINITY is -1 on Linux
            yield Diagnosis(
                "few_descriptors",
                "warning",
                f"a process may open {limit} files here; a worker with {jobs} parallel jobs needs about {needed}",
                f"ulimit -n {max(needed, 4096)} before you start it (services of `applejack deploy` set their own)",
            )


def this_host() -> Host:
    """The platform of this process."""
    system, machine = platform.system(), platform.machine()
    return Host(system, machine, system == "Darwin" and machine == "x86_64" and _translated())


def _translated() -> bool:
    try:
        result = subprocess.run(
            ["sysctl", "-n", "sysctl.proc_translated"],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return result.stdout.strip() == "1"
