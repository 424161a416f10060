"""What this machine offers a model: memory, accelerator, and how much of the memory models may use."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import psutil

from config.environment import outside_environment
from config.records import JsonObject

GIB = 2**30
MIB = 2**20
SMALL_MAC = 36 * GIB  # up to this size Metal recommends two thirds of the memory, above it three quarters
CPU_SHARE = 0.8  # of the memory: mlx's own limit where there is no accelerator
PROBE_SECONDS = 60.0
# In another process: mlx stays out of workers, and its device is initialised for good.
PROBE = "import json, mlx.core as mx; print(json.dumps({'type': mx.default_device().type.name, **mx.device_info()}))"


@dataclass(frozen=True)
class Machine:
    """One machine, as far as models on it are concerned."""

    backend: Literal["metal", "cuda", "cpu"]
    memory: int
    """bytes of RAM; on a Mac the GPU uses the same"""
    limit: int
    """bytes that models may use"""
    source: str
    """where `limit` comes from"""

    @property
    def gives(self) -> str:
        """The limit as a clause: "this Mac gives its GPU 22.9 GB"."""
        gigabytes = f"{self.limit / 1e9:.1f} GB"
        return {
            "metal": f"this Mac gives its GPU {gigabytes}",
            "cuda": f"this GPU has {gigabytes}",
            "cpu": f"this machine gives models {gigabytes}",
        }[self.backend]


def mlx_device() -> JsonObject:
    """The device of the installed mlx, as mlx describes it; {} if mlx cannot be imported."""
    return _json_of([sys.executable, "-P", "-c", PROBE])


def wired_limit() -> int:
    """The limit of GPU memory in bytes that an administrator set with sysctl; 0 if none."""
    return _number_of(["sysctl", "-n", "iogpu.wired_limit_mb"]) * MIB


def cuda_memory() -> int:
    """Bytes of the first NVIDIA GPU; 0 if there is none."""
    if shutil.which("nvidia-smi") is None:
        return 0
    return _number_of(["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]) * MIB


def total_memory() -> int:
    """Bytes of RAM."""
    return int(psutil.virtual_memory().total)


@dataclass(frozen=True)
class Probes:
    """Where the facts come from. Fields, so that tests can describe another machine."""

    system: str = sys.platform
    memory: Callable[[], int] = total_memory
    mlx: Callable[[], JsonObject] = mlx_device
    wired: Callable[[], int] = wired_limit
    cuda: Callable[[], int] = cuda_memory

    def measure(self) -> Machine:
        """Describe the machine."""
        return self._mac() if self.system == "darwin" else self._other()

    def _mac(self) -> Machine:
        memory = self.memory()
        if recommended := cast("int", self.mlx().get("max_recommended_working_set_size", 0)):
            return Machine("metal", memory, recommended, "recommended by Metal")
        if wired := self.wired():
            return Machine("metal", memory, wired, "sysctl iogpu.wired_limit_mb")
        part, whole = (2, 3) if memory <= SMALL_MAC else (3, 4)
        return Machine("metal", memory, memory * part // whole, f"{part}/{whole} of the memory, Metal's rule")

    def _other(self) -> Machine:
        memory, gpu = self.memory(), self.cuda()
        if gpu and self.mlx().get("type") == "gpu":  # a GPU that the installed mlx cannot use does not count
            return Machine("cuda", memory, gpu, "nvidia-smi")
        return Machine("cpu", memory, int(CPU_SHARE * memory), f"{CPU_SHARE:.0%} of the memory, mlx's limit on a CPU")


@cache
def this_machine() -> Machine:
    """This machine, measured once in a process."""
    return Probes().measure()


def _json_of(command: list[str]) -> JsonObject:
    try:
        found = json.loads(_output(command))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number_of(command: list[str]) -> int:
    """The first line of the output as a number; 0 if there is none."""
    first = _output(command).partition("\n")[0].strip()
    return int(first) if first.isdecimal() else 0


def _output(command: list[str]) -> str:
    """Standard output; "" if the command fails or does not exist."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True, env=outside_environment()
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
