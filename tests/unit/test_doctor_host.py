"""The doctor on a worker's machine: each trap planted once, a sound one gives no finding."""

from pathlib import Path

import pytest
from filelock import FileLock

from config.diagnostics import run_checks
from worker.doctor.host_checks import Host, Process

SHELL = Process(1, 0, ("/bin/zsh",))
SERVER = Process(2, 1, ("/usr/bin/python3", "/opt/bin/mlx_lm.server", "--model", "teacher"))
OURS = Process(3, 1, ("python", "-P", "-m", "worker.endpoint.serve_child", "--model", "student"))
TRAINING = Process(4, 1, ("python", "-m", "mlx_lm", "lora", "--train"))
WRAPPER = Process(5, 1, ("uv", "run", "mlx_lm.server", "--model", "teacher"))
WRAPPED = Process(6, 5, ("python", "mlx_lm.server", "--model", "teacher"))
PAGER = Process(7, 1, ("tail", "-f", "logs/mlx_lm.server.log"))


def host(folder: Path, *processes: Process, system: str = "linux", cc: bool = True, wheel: bool = True) -> Host:
    return Host(
        hub=folder, locks=folder, processes=lambda: processes, system=system, compiler=lambda: cc, wheel=lambda: wheel
    )


def test_a_sound_machine_has_no_finding(tmp_path: Path) -> None:
    seen = run_checks(host(tmp_path, SHELL, SERVER).checks())
    assert seen.findings == ()
    assert seen.not_checked == ()


@pytest.mark.parametrize(("cc", "wheel", "said"), [(False, True, "C compiler"), (True, False, "scipy-openblas32")])
def test_what_a_fast_blas_needs(tmp_path: Path, cc: bool, wheel: bool, said: str) -> None:
    (found,) = host(tmp_path, cc=cc, wheel=wheel).products()
    assert found.name == "slow_blas"
    assert said in found.message
    assert list(host(tmp_path, cc=cc, wheel=wheel, system="darwin").products()) == []  # Metal needs neither


def test_a_missing_hub_cache(tmp_path: Path) -> None:
    assert [one.name for one in host(tmp_path / "gone").hub_cache()] == ["no_hub_cache"]


@pytest.mark.parametrize(
    ("processes", "system", "severity"),
    [
        ((SERVER, TRAINING), "darwin", "error"),  # Metal
        ((SERVER, TRAINING), "linux", "warning"),
        ((SERVER, OURS), "darwin", "error"),
        ((OURS,), "darwin", None),
        ((SHELL, TRAINING), "darwin", None),
        ((WRAPPER, WRAPPED), "darwin", None),  # one server, and what started it
        ((WRAPPER, WRAPPED, OURS), "darwin", "error"),
        ((SERVER, PAGER), "darwin", None),  # a name in a file's name
    ],
)
def test_models_that_share_a_machine(
    tmp_path: Path, processes: tuple[Process, ...], system: str, severity: str | None
) -> None:
    found = list(host(tmp_path, *processes, system=system).models())
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_a_lock_that_cannot_be_taken(tmp_path: Path) -> None:
    (tmp_path / "applejack-model.lock").mkdir()  # root may open any file, but no directory
    assert [one.name for one in host(tmp_path).lock()] == ["lock_not_ours"]


def test_a_lock_that_a_training_holds_is_no_fault(tmp_path: Path) -> None:
    with FileLock(tmp_path / "applejack-model.lock"):
        assert list(host(tmp_path).lock()) == []
