"""Which build of mlx is loaded: the library on disk decides, not what is recorded as installed."""

import sys
from pathlib import Path

import pytest

from config.errors import UsageError
from worker.device import backend
from worker.device.backend import Installed, installed, require_installed

SIZES = {"mlx-cpu": 21, "mlx-cuda-13": 146, "mlx-cuda-12": 140}  # of the library in each wheel


def site_packages(folder: Path, *names: str, on_disk: str | None) -> list[str]:
    """A site-packages directory where these distributions are recorded and `on_disk` was written last."""
    for name in names:
        info = folder / f"{name.replace('-', '_')}-0.32.4.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.32.4\n")
        (info / "RECORD").write_text(f"mlx/lib/libmlx.so,sha256=x,{SIZES.get(name, 0)}\nmlx/include/mlx.h,sha256=x,1\n")
    if on_disk:
        (folder / "mlx/lib").mkdir(parents=True)
        (folder / "mlx/lib/libmlx.so").write_bytes(b"\0" * SIZES[on_disk])
    return [str(folder)]


@pytest.mark.parametrize(
    ("names", "on_disk", "loaded", "overwritten"),
    [
        (("mlx-cpu",), "mlx-cpu", "mlx-cpu", False),
        (("mlx-cuda-13",), "mlx-cuda-13", "mlx-cuda-13", False),
        (("mlx-cpu", "mlx-cuda-13"), "mlx-cpu", "mlx-cpu", True),  # the fault: both recorded, the CPU library on disk
        (("mlx-cpu", "mlx-cuda-12"), "mlx-cpu", "mlx-cpu", True),
        (("mlx-cpu", "mlx-cuda-13"), "mlx-cuda-13", "mlx-cuda-13", False),
        (("mlx-cuda-13",), "mlx-cpu", None, True),  # the CPU distribution's record is gone, its library is not
        (("mlx-cuda-13",), None, None, True),  # uninstalling mlx-cpu removed the shared file
        ((), None, None, False),
        (("mlx-metal",), None, "mlx-metal", False),
    ],
)
def test_the_library_on_disk_decides(
    tmp_path: Path, names: tuple[str, ...], on_disk: str | None, loaded: str | None, overwritten: bool
) -> None:
    found = installed(site_packages(tmp_path, *names, on_disk=on_disk))
    assert set(found.recorded) == set(names)
    assert found.loaded == loaded
    assert found.uses_gpu is (loaded is not None and loaded != "mlx-cpu")
    assert found.cuda_is_overwritten is overwritten


def test_the_repair_reinstalls_the_cuda_build_that_is_there() -> None:
    assert "--reinstall-package mlx-cuda-12" in Installed(("mlx-cpu", "mlx-cuda-12"), "mlx-cpu").repair


def test_a_linux_machine_without_mlx_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "installed", lambda: Installed((), None))
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match=r"\[worker,cpu\].* or, with an NVIDIA GPU, .*\[worker,cuda\]"):
        require_installed()
    monkeypatch.setattr(sys, "platform", "darwin")  # mlx-lm requires mlx there
    require_installed()
