"""Doctor checks of a worker's machine: each misconfiguration is planted once; a healthy machine has no finding."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from config.diagnostics import run_checks
from worker.device.backend import Installed
from worker.device.device_lock import Claim
from worker.doctor.host_checks import Host, Process, private_places

SHELL = Process(1, 0, ("/bin/zsh",))
SERVER = Process(2, 1, ("/usr/bin/python3", "/opt/bin/mlx_lm.server", "--model", "teacher"))
OURS = Process(3, 1, ("python", "-P", "-m", "worker.endpoint.serve_child", "--model", "student"))
TRAINING = Process(4, 1, ("python", "-m", "mlx_lm", "lora", "--train"))
WRAPPER = Process(5, 1, ("uv", "run", "mlx_lm.server", "--model", "teacher"))
WRAPPED = Process(6, 5, ("python", "mlx_lm.server", "--model", "teacher"))
PAGER = Process(7, 1, ("tail", "-f", "logs/mlx_lm.server.log"))


CPU = Installed(("mlx-cpu",), "mlx-cpu")
CUDA = Installed(("mlx-cuda-13",), "mlx-cuda-13")


def host(
    folder: Path, *processes: Process, system: str = "linux", cc: bool = True, wheel: bool = True, mlx: Installed = CPU
) -> Host:
    return Host(
        hub=folder,
        locks=folder,
        processes=lambda: processes,
        system=system,
        compiler=lambda: cc,
        wheel=lambda: wheel,
        mlx=lambda: mlx,
        private=(folder / "home",),
        no_sandbox=lambda: "",
        unsandboxed=lambda: False,
    )


def test_a_healthy_machine_has_no_finding(tmp_path: Path) -> None:
    report = run_checks(host(tmp_path, SHELL, SERVER).checks())
    assert report.findings == ()
    assert report.not_checked == ()


@pytest.mark.parametrize(("cc", "wheel", "missing"), [(False, True, "C compiler"), (True, False, "scipy-openblas32")])
def test_a_missing_requirement_of_the_fast_blas_is_named(tmp_path: Path, cc: bool, wheel: bool, missing: str) -> None:
    (finding,) = host(tmp_path, cc=cc, wheel=wheel).products()
    assert finding.name == "slow_blas"
    assert missing in finding.message
    assert list(host(tmp_path, cc=cc, wheel=wheel, system="darwin").products()) == []  # Metal needs neither
    assert list(host(tmp_path, cc=cc, wheel=wheel, mlx=CUDA).products()) == []


@pytest.mark.parametrize(
    ("mlx", "system", "finding", "remedy"),
    [
        (CPU, "linux", [], ""),
        (CUDA, "linux", [], ""),
        (Installed(("mlx-metal",), "mlx-metal"), "darwin", [], ""),
        (Installed((), None), "darwin", [], ""),
        (Installed((), None), "linux", ["no_mlx"], "[worker,cpu]"),
        (Installed(("mlx-cpu", "mlx-cuda-13"), "mlx-cpu"), "linux", ["cpu_library_loaded"], "uninstall mlx-cpu"),
        (Installed(("mlx-cuda-13",), None), "linux", ["cpu_library_loaded"], "--reinstall-package mlx-cuda-13"),
        (Installed(("mlx-cpu", "mlx-cuda-13"), "mlx-cuda-13"), "linux", ["two_mlx_builds"], "uninstall mlx-cpu"),
    ],
)
def test_builds_of_mlx_that_overwrite_each_other_are_found(
    tmp_path: Path, mlx: Installed, system: str, finding: list[str], remedy: str
) -> None:
    found = list(host(tmp_path, system=system, mlx=mlx).build())
    assert [diagnosis.name for diagnosis in found] == finding
    assert all(remedy in diagnosis.remedy for diagnosis in found)


def test_a_missing_hub_cache_is_found(tmp_path: Path) -> None:
    assert [finding.name for finding in host(tmp_path / "gone").hub_cache()] == ["no_hub_cache"]


@pytest.mark.parametrize(
    ("processes", "system", "severity"),
    [
        ((SERVER, TRAINING), "darwin", "error"),  # Metal
        ((SERVER, TRAINING), "linux", "warning"),
        ((SERVER, OURS), "darwin", "error"),
        ((OURS,), "darwin", None),
        ((SHELL, TRAINING), "darwin", None),
        ((WRAPPER, WRAPPED), "darwin", None),  # a server and the process that started it
        ((WRAPPER, WRAPPED, OURS), "darwin", "error"),
        ((SERVER, PAGER), "darwin", None),  # the server's name in a file name
    ],
)
def test_two_models_on_a_machine_are_found(
    tmp_path: Path, processes: tuple[Process, ...], system: str, severity: str | None
) -> None:
    findings = list(host(tmp_path, *processes, system=system).models())
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


def test_a_lock_directory_that_cannot_be_used_is_found(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()  # root can write to any directory, but not to a file in its place
    (finding,) = host(tmp_path / "locks").lock()
    assert (finding.name, finding.severity) == ("lock_not_ours", "error")
    assert "APPLEJACK_LOCK_DIR" in finding.remedy


def test_a_device_held_by_a_training_has_no_finding(tmp_path: Path) -> None:
    claim = Claim("training", "night-1", folder=tmp_path)
    assert list(host(tmp_path).lock()) == []
    claim.release()
    assert list(host(tmp_path / "not made yet").lock()) == []


@pytest.mark.parametrize(("folder", "found"), [("home/locks", ["lock_dir_private"]), ("shared/locks", [])])
def test_a_lock_directory_of_one_user_is_found(tmp_path: Path, folder: str, found: list[str]) -> None:
    machine = replace(host(tmp_path), locks=tmp_path / folder)
    assert [finding.name for finding in machine.private_lock()] == found


def test_the_temporary_directory_of_one_user_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "T"))
    assert tmp_path / "T" in private_places()
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert Path("/tmp") not in private_places()


@pytest.mark.parametrize(("name", "age_days", "found"), [
    ("a1.1f00.incomplete", 2, ["incomplete_downloads"]),
    ("a1.applejack-partial", 2, ["incomplete_downloads"]),
    ("a1.1f00.incomplete", 0, []),  # it may belong to a download that runs
    ("a1", 2, []),
])  # fmt: skip
def test_downloads_that_were_given_up_are_found(tmp_path: Path, name: str, age_days: float, found: list[str]) -> None:
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / name).write_bytes(b"x" * 1000)
    machine = replace(host(tmp_path), now=lambda: time.time() + age_days * 86_400)
    findings = list(machine.unfinished())
    assert [finding.name for finding in findings] == found
    assert all("1 downloads" in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("reason", "unsandboxed", "finding"),
    [
        ("bubblewrap is not installed", False, "no_sandbox"),
        ("bubblewrap is not installed", True, "unsandboxed"),  # by its owner's word
        ("", True, "unsandboxed"),
    ],
)
def test_a_machine_without_a_sandbox_is_found(tmp_path: Path, reason: str, unsandboxed: bool, finding: str) -> None:
    machine = replace(host(tmp_path), no_sandbox=lambda: reason, unsandboxed=lambda: unsandboxed)
    (found,) = machine.sandboxed()
    assert (found.name, found.severity) == (finding, "warning")
    assert found.help == "docs/troubleshooting.md#sandbox"
    assert reason in found.message or unsandboxed
