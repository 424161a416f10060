"""The device that mlx computes on here: Metal, a CUDA device, or the CPU."""

import re
import sys
from importlib import metadata

from config.settings import settings

GPU_BACKENDS = ("mlx-cuda-13", "mlx-cuda-12")


def has_gpu_backend() -> bool:
    """True if a CUDA distribution of mlx is installed; the GPU then computes the products."""
    return any(_installed(backend) for backend in GPU_BACKENDS)


def device_name() -> str:
    """`metal`, `cuda-INDEX` or `cpu`; usable in a file name."""
    if sys.platform == "darwin":
        return "metal"
    if not has_gpu_backend():
        return "cpu"
    first = settings().cuda_devices.partition(",")[0]
    return f"cuda-{re.sub(r'[^A-Za-z0-9]+', '-', first).strip('-') or '0'}"


def _installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
