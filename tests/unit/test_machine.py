"""What a machine is measured as, from planted facts."""

import sys
from pathlib import Path

import pytest

from worker.device import machine
from worker.device.machine import GIB, MIB, Machine, Probes

H100 = 81_559 * MIB


def mac(gigabytes: int, *, recommended: int = 0, wired: int = 0) -> Machine:
    device = {"max_recommended_working_set_size": recommended} if recommended else {}
    return Probes("darwin", lambda: gigabytes * GIB, lambda: device, lambda: wired, lambda: 0).measure()


@pytest.mark.parametrize(
    ("measured", "limit", "source"),
    [
        (mac(128, recommended=115 * GIB, wired=100 * GIB), 115 * GIB, "recommended by Metal"),  # what mlx itself uses
        (mac(16, wired=14 * GIB), 14 * GIB, "sysctl iogpu.wired_limit_mb"),  # mlx is not installed
        (mac(16), 16 * GIB * 2 // 3, "2/3 of the memory, Metal's rule"),
        (mac(36), 24 * GIB, "2/3 of the memory, Metal's rule"),
        (mac(64), 48 * GIB, "3/4 of the memory, Metal's rule"),
    ],
)
def test_a_mac_gives_its_gpu_what_metal_recommends(measured: Machine, limit: int, source: str) -> None:
    assert (measured.backend, measured.limit, measured.source) == ("metal", limit, source)


def test_a_16_gb_mac_names_its_limit() -> None:
    assert mac(16).gives == "this Mac gives its GPU 11.5 GB"


def test_a_gpu_counts_only_where_the_installed_mlx_uses_it() -> None:
    """Both wheels install the same library; with the CPU one the GPU idles."""
    used = Probes("linux", lambda: 64 * GIB, lambda: {"type": "gpu"}, cuda=lambda: H100).measure()
    idle = Probes("linux", lambda: 64 * GIB, lambda: {"type": "cpu"}, cuda=lambda: H100).measure()
    assert (used.backend, used.limit) == ("cuda", H100)
    assert (idle.backend, idle.limit) == ("cpu", int(0.8 * 64 * GIB))


def test_the_facts_are_read_from_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("nvidia-smi", "81559\n81559"), ("sysctl", "12288")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nprintf '{text}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert (machine.cuda_memory(), machine.wired_limit()) == (H100, 12 * GIB)
    monkeypatch.setenv("PATH", "")
    assert (machine.cuda_memory(), machine.wired_limit()) == (0, 0)


def test_this_machine_without_an_accelerator_is_a_cpu() -> None:
    if sys.platform == "linux" and not machine.cuda_memory():
        assert machine.this_machine().backend == "cpu"
