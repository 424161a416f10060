"""Which build of mlx is on this machine: Metal, CUDA or CPU.

The distributions mlx-cpu and mlx-cuda-13 both install mlx/lib/libmlx.so, and the one written last is loaded, so the
file decides. Reads files only: mlx itself is imported by child processes, which name the backend that they loaded.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from config.errors import UsageError
from config.settings import settings

LIBRARY = "mlx/lib/libmlx.so"
CPU = "mlx-cpu"
CUDA = ("mlx-cuda-13", "mlx-cuda-12")
METAL = "mlx-metal"
SOURCE = "mlx"  # built from source, it holds the library itself
INSTALL = "uv pip install -c constraints.txt -e '.[worker,{extra}]'"


@dataclass(frozen=True)
class Installed:
    """The builds of mlx that are recorded as installed, and the one whose library is on disk."""

    recorded: tuple[str, ...]
    loaded: str | None
    """a distribution's name; None if the library is missing or is none of the recorded ones"""

    @property
    def uses_gpu(self) -> bool:
        """Whether the library that mlx loads computes on a GPU."""
        return self.loaded in {METAL, *CUDA}

    @property
    def cuda_is_overwritten(self) -> bool:
        """Whether a CUDA build was installed but another library would be loaded."""
        return any(name in CUDA for name in self.recorded) and self.loaded not in CUDA

    @property
    def repair(self) -> str:
        """The commands that make the CUDA build the only one."""
        cuda = next((name for name in self.recorded if name in CUDA), CUDA[0])
        return f"uv pip uninstall mlx-cpu && {INSTALL.format(extra='cuda')} --reinstall-package {cuda}"


def installed(path: Sequence[str] | None = None) -> Installed:
    """The builds of mlx in the directories of `path` (default: sys.path).

    The library's size tells which distribution wrote it: 21 MB and 146 MB for the CPU and CUDA builds of mlx 0.32.
    """
    found = {name: one for name in (CPU, *CUDA, METAL) if (one := _distribution(name, path))}
    if not found and (source := _distribution(SOURCE, path)) and _wrote_library(source):
        found[SOURCE] = source
    if METAL in found:
        return Installed(tuple(found), METAL)
    return Installed(tuple(found), next((name for name, one in found.items() if _wrote_library(one)), None))


def require_installed() -> Installed:
    """The builds of mlx on this machine; UsageError if there is none, as after installing only applejack[worker]."""
    found = installed()
    if not found.recorded and sys.platform == "linux":
        choices = " or, with an NVIDIA GPU, ".join(INSTALL.format(extra=extra) for extra in ("cpu", "cuda"))
        raise UsageError(f"mlx is not installed, which trains and serves models; run {choices}")
    return found


def device_name() -> str:
    """`metal`, `cuda-INDEX` or `cpu`; usable in a file name."""
    if sys.platform == "darwin":
        return "metal"
    if not installed().uses_gpu:
        return "cpu"
    first = settings().cuda_devices.partition(",")[0]
    return f"cuda-{re.sub(r'[^A-Za-z0-9]+', '-', first).strip('-') or '0'}"


def _distribution(name: str, path: Sequence[str] | None) -> Distribution | None:
    return next(iter(Distribution.discover(name=name, path=list(sys.path if path is None else path))), None)


def _wrote_library(distribution: Distribution) -> bool:
    for file in distribution.files or ():
        if str(file) == LIBRARY:
            place = Path(str(file.locate()))
            return place.is_file() and place.stat().st_size == file.size
    return False
