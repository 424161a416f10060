"""The doctor's look at a worker's machine: a fast BLAS, the hub cache, and how many models run on it."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from huggingface_hub.constants import HF_HUB_CACHE

from config.diagnostics import Check, Diagnosis
from worker.student.cpu_blas import blas

# How a process that holds a model is started: one word of its command line, or `mlx_lm` and the next.
SERVING = frozenset({"mlx_lm.server", "worker.endpoint.serve_child", "mlx_lm server"})
TRAINING = frozenset({"mlx_lm.lora", "worker.train.child", "mlx_lm lora"})


@dataclass(frozen=True)
class Process:
    """A running process, as far as it is told."""

    pid: int
    parent: int
    command: tuple[str, ...]

    @property
    def words(self) -> set[str]:
        """The words of its command line, programs without their folder, and each two in a row."""
        words = [Path(word).name if "/" in word else word for word in self.command]
        return {*words, *(f"{one} {next_}" for one, next_ in pairwise(words))}


def running() -> list[Process]:
    """Every process whose command line may be read."""
    seen = [process.info for process in psutil.process_iter(["pid", "ppid", "cmdline"])]
    return [Process(one["pid"], one["ppid"], tuple(one["cmdline"])) for one in seen if one["cmdline"]]


def of_kind(processes: Iterable[Process], kind: frozenset[str]) -> list[Process]:
    """The processes started so, without those that only started one of them (a shell, `uv run`, a watchdog)."""
    found = [one for one in processes if one.words & kind]
    parents = {one.parent for one in found}
    return [one for one in found if one.pid not in parents]


@dataclass(frozen=True)
class Host:
    """This machine; what it is asked of stands in the fields, so that tests can plant a fault."""

    hub: Path = Path(HF_HUB_CACHE)
    """the hub cache folder that an mlx_lm server started here would look into"""
    locks: Path = Path(tempfile.gettempdir())
    processes: Callable[[], Iterable[Process]] = running
    system: str = sys.platform
    compiler: Callable[[], bool] = lambda: any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    wheel: Callable[[], bool] = lambda: find_spec(blas.WHEEL) is not None

    def checks(self) -> list[Check]:
        """What is looked at."""
        return [
            Check("fast matrix products", self.products),
            Check("hub cache folder", self.hub_cache),
            Check("one model at a time", self.models),
            Check("host lock", self.lock),
        ]

    def products(self) -> Iterator[Diagnosis]:
        """mlx's Linux wheel multiplies about 20 times slower than a fast BLAS; macOS has Metal."""
        if self.system != "linux" or blas.has_gpu_backend():
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
                "install it (Debian: apt install gcc; the package comes with applejack[worker])",
            )

    def hub_cache(self) -> Iterator[Diagnosis]:
        """mlx_lm's server answers /v1/models with an empty body when its hub cache folder is missing."""
        if not self.hub.is_dir():
            yield Diagnosis(
                "no_hub_cache",
                "warning",
                f"the hub cache folder {str(self.hub)!r} is missing: an mlx_lm.server started by hand answers "
                "/v1/models with an empty body",
                f"mkdir -p {str(self.hub)!r}, or set HF_HOME (servers that applejack starts have their own)",
            )

    def models(self) -> Iterator[Diagnosis]:
        """Two Metal processes on one Mac can crash it; elsewhere they share memory and time."""
        seen = list(self.processes())
        serving, training = of_kind(seen, SERVING), of_kind(seen, TRAINING)
        if len(serving) + len(training) > 1:
            pids = ", ".join(str(one.pid) for one in (*serving, *training))
            yield Diagnosis(
                "models_share_host",
                "error" if self.system == "darwin" else "warning",
                f"{len(serving)} model servers and {len(training)} trainings run on this machine (processes {pids})"
                + (": two Metal processes can crash a Mac" if self.system == "darwin" else ""),
                "let one end before the other starts: train where nothing is served, serve one model a machine",
            )

    def lock(self) -> Iterator[Diagnosis]:
        """The host's lock can be taken by this user; that a training holds it is no fault."""
        file = self.locks / "applejack-model.lock"
        if not file.exists():
            return
        try:
            with FileLock(file).acquire(timeout=0):
                return
        except Timeout:
            return
        except OSError as error:
            yield Diagnosis(
                "lock_not_ours",
                "error",
                f"the host's lock cannot be taken: {error}",
                f"remove {str(file)!r} (another user may have made it), or train as that user",
            )
