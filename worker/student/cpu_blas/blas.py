"""Environment variables of mlx child processes, with a fast matrix product on Linux CPUs.

The mlx wheel for Linux contains the slow reference BLAS. sgemm.c is compiled once with cc and loaded with LD_PRELOAD.
It passes large products to the OpenBLAS of the scipy-openblas32 wheel; `python benchmarks/blas.py` prints the ratio.
Without a compiler or that wheel, mlx is slower. macOS uses Metal instead.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from config import logs
from config.atomic_files import replace_file
from config.settings import settings
from worker.device.backend import require_installed

SOURCE = Path(__file__).with_name("sgemm.c")
WHEEL = "scipy_openblas32"
REASSOCIATE = ("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno")
# Vectorising needs reordered sums. -ffast-math would also disable denormals in the whole process.
FLAGS = ("-O3", "-march=native", "-funroll-loops", *REASSOCIATE, "-shared", "-fPIC")
ATTEMPTS = ((*FLAGS, "-fopenmp"), FLAGS, ("-O2", "-shared", "-fPIC"))  # not every compiler has OpenMP or -march
COMPILE_SECONDS = 60

log = logs.get(__name__)


def mlx_environment() -> dict[str, str]:
    """Variables to add to os.environ for a child that runs mlx on a model directory.

    Disables the hub. HF_HOME must exist, otherwise mlx_lm's /v1/models returns 200 with an empty body.
    """
    home = settings().cache.absolute() / "hf"
    (home / "hub").mkdir(parents=True, exist_ok=True)
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "TOKENIZERS_PARALLELISM": "false", **fast_blas()}


def fast_blas() -> dict[str, str]:
    """LD_PRELOAD and thread settings for mlx on a Linux CPU; empty elsewhere or if the library cannot be built.

    UsageError if mlx is not installed.
    """
    if require_installed().uses_gpu or sys.platform != "linux":
        return {}
    library = built_library(settings().cache.absolute() / "blas")
    if library is None:
        return {}
    others = os.environ.get("LD_PRELOAD")
    return {
        "LD_PRELOAD": f"{library}:{others}" if others else str(library),
        "OMP_WAIT_POLICY": "passive",  # spinning threads would take cores from the rest of mlx
        "OPENBLAS_NUM_THREADS": "1",  # sgemm.c splits the work itself
    }


@cache
def built_library(folder: Path) -> Path | None:
    """The compiled library in `folder`, built if missing. Logs a warning and returns None if it cannot be built."""
    openblas = _openblas()
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if openblas is None or compiler is None:
        missing = "a C compiler" if openblas else "the package 'scipy-openblas32'"
        log.warning(
            "blas.slow", reason=f"{missing} is missing; mlx works as shipped, about 20 times slower on this CPU"
        )
        return None
    library = folder / f"sgemm-{_fingerprint(openblas, compiler)}.so"
    if library.is_file():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    complaint = _compile(compiler, openblas, library)
    if complaint is None:
        return library
    log.warning(
        "blas.slow", reason=f"{compiler} cannot compile {SOURCE.name}: {complaint}; mlx works as shipped, slower"
    )
    return None


def _compile(compiler: str, openblas: Path, library: Path) -> str | None:
    """Return None, or the error on failure. The rename is atomic, so two processes may compile at once."""
    complaint = ""
    for flags in ATTEMPTS:
        options = (*flags, f'-DOPENBLAS="{openblas}"', str(SOURCE), "-lpthread", "-ldl")
        try:
            with replace_file(library) as draft:
                command = [compiler, *options, "-o", str(draft)]
                subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            complaint = (error.stderr.strip().splitlines() or [f"code {error.returncode}"])[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        else:
            return None
    return complaint


def _fingerprint(openblas: Path, compiler: str) -> str:
    """Hash of all inputs of the build, including the CPU, because machines may share a cache."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8", errors="replace").splitlines() if cpu.is_file() else []
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    parts = (SOURCE.read_text(encoding="utf-8"), str(ATTEMPTS), str(openblas), compiler, platform.machine(), features)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _openblas() -> Path | None:
    spec = importlib.util.find_spec(WHEEL)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((file for folder in folders for file in Path(folder, "lib").glob("libscipy_openblas*.so")), None)
