"""The doctor's own bookkeeping, and what it says of a machine: each trap planted once, a sound one gives no finding."""

import os
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.diagnostics import Check, Diagnosis, DoctorReport, Skipped, run_checks
from config.errors import StoreError
from config.settings import Settings
from producer.doctor import check_redis
from producer.doctor.machine import Host, Machine
from producer.doctor.workers import ask_worker_side, examined

LINUX = Host("Linux", "x86_64", False)
GB = 1_000_000_000


def trap(name: str, severity: str = "error") -> Diagnosis:
    return Diagnosis(name, severity, "told", "remedy")  # type: ignore[arg-type]


def breaks_off() -> Iterator[Diagnosis]:
    yield trap("seen before")
    raise StoreError("the connection broke")


def test_errors_come_first_and_nothing_is_silently_ok() -> None:
    seen = run_checks(
        [
            Check("one", lambda: [trap("a", "warning")]),
            Check("two", breaks_off),
            Check("three", lambda: []),
        ]
    )
    assert [found.name for found in seen.findings] == ["seen before", "a"]
    assert seen.checked == ("one", "three")
    assert seen.not_checked == (Skipped("two", "the connection broke"),)
    assert seen.errors == 1


def test_what_the_other_side_says_is_read_back() -> None:
    seen = DoctorReport((trap("a"),), ("one",), (Skipped("two", "why"),))
    assert examined(seen.as_json()) == seen


def test_a_small_install_says_that_it_did_not_look(tmp_path: Path) -> None:
    seen = ask_worker_side(tmp_path, missing="mlx_lm")
    assert seen.checked == ()
    assert "mlx_lm" in seen.not_checked[0].why
    assert "student" in seen.not_checked[0].check


def test_no_redis_at_all_is_not_checked_rather_than_wrong(tmp_path: Path) -> None:
    seen = check_redis(Settings(dir=tmp_path))
    assert seen.findings == ()
    assert [unseen.check for unseen in seen.not_checked] == ["redis", "fleet"]


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (LINUX, []),
        (Host("Darwin", "arm64", False), []),
        (Host("Darwin", "x86_64", True), ["rosetta"]),  # an Intel Python on an Apple Silicon Mac
        (Host("Darwin", "x86_64", False), ["intel_mac"]),
        (Host("Windows", "AMD64", False), ["platform"]),
    ],
)
def test_platforms(tmp_path: Path, host: Host, found: list[str]) -> None:
    assert [one.name for one in Machine(tmp_path, host).platform()] == found


@pytest.mark.parametrize(
    ("free", "found"),
    [(50 * GB, []), (3 * GB, [("disk_full", "warning")]), (GB // 2, [("disk_full", "error")])],
)
def test_disk(tmp_path: Path, free: int, found: list[tuple[str, str]]) -> None:
    seen = Machine(tmp_path / "not" / "made", LINUX, free=lambda _: free).disk()
    assert [(one.name, one.severity) for one in seen] == found
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


@pytest.mark.parametrize(("mode", "found"), [(0o600, []), (0o644, ["password_readable"])])
def test_a_password_that_others_can_read(tmp_path: Path, mode: int, found: list[str]) -> None:
    file = tmp_path / "stack.json"
    file.write_text("{}")
    file.chmod(mode)
    assert [one.name for one in Machine(tmp_path, LINUX).private()] == found


def test_packages_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert list(Machine(tmp_path, LINUX, environment).packages()) == []


@pytest.mark.parametrize("stray", ["config/__init__.py", "worker.py"])  # a package, and somebody's own script
def test_a_stray_package_wins_over_ours(tmp_path: Path, stray: str) -> None:
    file = tmp_path / stray
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    (found,) = Machine(tmp_path, LINUX, environment).packages()
    assert (found.name, found.severity) == ("foreign_package", "error")
    assert str(file) in found.message


def test_a_folder_that_hides_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    assert [one.name for one in Machine(tmp_path, LINUX, environment).packages()] == ["shadowing_folder"]


def test_a_python_without_applejack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    venv.create(tmp_path / "empty")
    machine = Machine(tmp_path, LINUX, {"PATH": os.environ["PATH"]}, python=str(tmp_path / "empty" / "bin" / "python"))
    assert {one.name for one in machine.packages()} == {"not_installed"}
