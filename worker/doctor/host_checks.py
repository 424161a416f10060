"""Checks of a worker's machine: a fast BLAS, the hub cache, and the number of models that run on it."""

import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import psutil

from config.diagnostics import Check, Diagnosis
from config.errors import DeviceError
from config.settings import settings
from worker.device import backend, device_lock
from worker.device.backend import Installed
from worker.models.resolve import hub_cache
from worker.student.cpu_blas import blas
from worker.tools import sandbox

# Command lines of processes that load a model: one word, or `mlx_lm` and the next word.
SERVING = frozenset({"mlx_lm.server", "worker.endpoint.serve_child", "mlx_lm server"})
TRAINING = frozenset({"mlx_lm.lora", "worker.train.child", "mlx_lm lora"})
UNFINISHED = (".incomplete", ".applejack-partial")  # of huggingface_hub, and of `applejack pull`
DAY = 86_400.0  # seconds; a younger file may belong to a download that runs
SHARED_TEMPORARY = (Path("/tmp"), Path("/private/tmp"), Path("/var/tmp"))  # noqa: S108 - everyone's, on purpose


@dataclass(frozen=True)
class Process:
    """A running process."""

    pid: int
    parent: int
    command: tuple[str, ...]

    @property
    def words(self) -> set[str]:
        """The words of the command line without directories, and each pair of adjacent words."""
        words = [Path(word).name if "/" in word else word for word in self.command]
        return {*words, *(f"{word} {next_word}" for word, next_word in pairwise(words))}


def running() -> list[Process]:
    """Every process whose command line is readable."""
    infos = [process.info for process in psutil.process_iter(["pid", "ppid", "cmdline"])]
    return [Process(info["pid"], info["ppid"], tuple(info["cmdline"])) for info in infos if info["cmdline"]]


def of_kind(processes: Iterable[Process], kind: frozenset[str]) -> list[Process]:
    """The processes with such a command line, without parents that only started one (a shell, `uv run`, a watchdog)."""
    matching = [process for process in processes if process.words & kind]
    parents = {process.parent for process in matching}
    return [process for process in matching if process.pid not in parents]


def private_places() -> tuple[Path, ...]:
    """Directories that belong to one user: the home directory, and a temporary directory other than /tmp."""
    temporary = Path(tempfile.gettempdir())
    own = () if temporary in SHARED_TEMPORARY else (temporary,)
    return (Path.home(), Path("/var/folders"), Path("/private/var/folders"), *own)


@dataclass(frozen=True)
class Host:
    """This machine. Its inputs are fields, so that tests can plant a fault."""

    hub: Path = field(default_factory=hub_cache)
    """the hub cache directory that an mlx_lm server started here would use"""
    locks: Path = field(default_factory=lambda: settings().lock_dir)
    processes: Callable[[], Iterable[Process]] = running
    system: str = sys.platform
    compiler: Callable[[], bool] = lambda: any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    wheel: Callable[[], bool] = lambda: find_spec(blas.WHEEL) is not None
    mlx: Callable[[], Installed] = backend.installed
    private: tuple[Path, ...] = field(default_factory=private_places)
    """directories that belong to one user"""
    now: Callable[[], float] = time.time
    no_sandbox: Callable[[], str] = sandbox.missing
    """why programs cannot run in a sandbox here; "" if they can"""
    unsandboxed: Callable[[], bool] = lambda: settings().unsandboxed

    def checks(self) -> list[Check]:
        """The checks of this machine."""
        return [
            Check("build of mlx", self.build),
            Check("fast matrix products", self.products),
            Check("hub cache folder", self.hub_cache),
            Check("one model at a time", self.models),
            Check("device lock", self.lock),
            Check("device lock is everyone's", self.private_lock),
            Check("unfinished downloads", self.unfinished),
            Check("sandbox for programs", self.sandboxed),
        ]

    def build(self) -> Iterator[Diagnosis]:
        """Two builds of mlx overwrite each other's library; the one written last is loaded."""
        found = self.mlx()
        if not found.recorded and self.system == "linux":
            yield Diagnosis(
                "no_mlx",
                "warning",
                "mlx is not installed, which trains and serves models",
                f"run {backend.INSTALL.format(extra='cpu')}, or with an NVIDIA GPU [worker,cuda]; a machine that only "
                "generates with a server elsewhere, or curates, does not need it",
            )
        elif found.cuda_is_overwritten:
            yield Diagnosis(
                "cpu_library_loaded",
                "error",
                f"the CUDA build of mlx is installed, but {backend.LIBRARY} is that of "
                f"{found.loaded or 'another build'}: models are trained and served without the GPU",
                found.repair,
            )
        elif len(found.recorded) > 1:
            yield Diagnosis(
                "two_mlx_builds",
                "warning",
                f"{' and '.join(found.recorded)} are both installed and write the same file; the next installation may "
                "replace the one in use",
                found.repair,
            )

    def products(self) -> Iterator[Diagnosis]:
        """mlx's Linux wheel multiplies about 20 times slower than a fast BLAS; macOS has Metal."""
        if self.system != "linux" or self.mlx().uses_gpu:
            return
        missing = [
            name
            for name, there in (("a C compiler", self.compiler()), ("the package scipy-openblas32", self.wheel()))
            if not there
        ]
        if missing:
            yield Diagnosis(
                "slow_blas",
                "warning",
                f"{' and '.join(missing)} is missing: mlx trains and serves about 20 times slower on this CPU",
                "install it (Debian: apt install gcc; applejack[worker] includes the package)",
            )

    def hub_cache(self) -> Iterator[Diagnosis]:
        """mlx_lm's server answers /v1/models with an empty body if the hub cache directory is missing."""
        if not self.hub.is_dir():
            yield Diagnosis(
                "no_hub_cache",
                "warning",
                f"the hub cache directory {str(self.hub)!r} is missing: an mlx_lm.server started by hand answers "
                "/v1/models with an empty body",
                f"mkdir -p {str(self.hub)!r}, or set HF_HOME (servers started by applejack have their own)",
            )

    def models(self) -> Iterator[Diagnosis]:
        """Two Metal processes on one Mac can crash it; elsewhere they share memory and time."""
        processes = list(self.processes())
        serving, training = of_kind(processes, SERVING), of_kind(processes, TRAINING)
        if len(serving) + len(training) > 1:
            pids = ", ".join(str(process.pid) for process in (*serving, *training))
            yield Diagnosis(
                "models_share_host",
                "error" if self.system == "darwin" else "warning",
                f"{len(serving) + len(training)} models are served or trained on this machine (processes {pids})"
                + (": two Metal processes can crash a Mac" if self.system == "darwin" else ""),
                "wait for one to end before starting the other: serve one model per machine, train where none is",
            )

    def lock(self) -> Iterator[Diagnosis]:
        """This user can claim the device. It is fine if another process holds it now."""
        try:
            device_lock.uses(self.locks)
        except DeviceError as error:
            problem, _, remedy = str(error).partition("; ")
            yield Diagnosis("lock_not_ours", "error", problem, remedy)

    def private_lock(self) -> Iterator[Diagnosis]:
        """macOS' temporary directory is per user, and a home directory is one user's: a lock there excludes nobody."""
        folder = self.locks.expanduser().absolute()
        if any(folder.is_relative_to(place) for place in self.private):
            yield Diagnosis(
                "lock_dir_private",
                "warning",
                f"the lock directory {str(folder)!r} is one user's: services and other users of this machine claim the "
                "device elsewhere, and two models may run at once",
                "unset APPLEJACK_LOCK_DIR, or set it to one directory that all users of this machine can write",
            )

    def unfinished(self) -> Iterator[Diagnosis]:
        """huggingface_hub begins a new file with each try and never continues one; a worker's own are continued."""
        now = self.now()
        files = [file for ending in UNFINISHED for file in self.hub.glob(f"models--*/blobs/*{ending}")]
        stats = [file.stat() for file in files if file.is_file()]
        old = [found for found in stats if now - found.st_mtime > DAY]
        if size := sum(found.st_size for found in old):
            yield Diagnosis(
                "incomplete_downloads",
                "warning",
                f"{len(old)} downloads in {str(self.hub)!r} ended more than a day ago without being complete: "
                f"{size / 1e9:.1f} GB",
                "finish one with `applejack pull MODEL`, or delete them: "
                f"find {shlex.quote(str(self.hub))} -name '*.incomplete' -mtime +0 -delete (*.applejack-partial too)",
            )

    def sandboxed(self) -> Iterator[Diagnosis]:
        """run_command starts programs in a sandbox only, unless the owner of this machine does without."""
        if self.unsandboxed():
            yield Diagnosis(
                "unsandboxed",
                "warning",
                "workers here run the programs of runs without a sandbox: with your files, your keys and the network",
                "unset APPLEJACK_UNSANDBOXED, and start workers without --unsandboxed",
            )
        elif reason := self.no_sandbox():
            yield Diagnosis(
                "no_sandbox",
                "warning",
                f"this machine has no sandbox, so that runs with --allow-command can start no program here: {reason}",
                "install bubblewrap (Debian: apt install bubblewrap) and allow user namespaces; macOS has sandbox-exec",
            )
