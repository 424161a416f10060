"""Doctor reports, and the machine checks: each misconfiguration is planted once; a healthy machine has no finding."""

import io
import os
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from config.diagnostics import Check, Diagnosis, DoctorReport, Skipped, run_checks
from config.errors import StoreError
from config.settings import Settings
from producer.commands.doctor import print_report
from producer.doctor import check_redis
from producer.doctor.exposure import Exposure
from producer.doctor.machine import Host, Machine
from producer.doctor.workers import parse_report, run_worker_doctor

LINUX = Host("Linux", "x86_64", False)
GB = 1_000_000_000


def diagnosis(name: str, severity: str = "error") -> Diagnosis:
    return Diagnosis(name, severity, "message", "remedy")  # type: ignore[arg-type]


def fails_after_a_finding() -> Iterator[Diagnosis]:
    yield diagnosis("found before the error")
    raise StoreError("the connection broke")


def test_errors_come_first_and_failed_checks_are_reported() -> None:
    report = run_checks(
        [
            Check("one", lambda: [diagnosis("a", "warning")]),
            Check("two", fails_after_a_finding),
            Check("three", lambda: []),
        ]
    )
    assert [finding.name for finding in report.findings] == ["found before the error", "a"]
    assert report.checked == ("one", "three")
    assert report.not_checked == (Skipped("two", "the connection broke"),)
    assert report.errors == 1


def test_a_report_survives_json() -> None:
    report = DoctorReport((diagnosis("a"),), ("one",), (Skipped("two", "why"),))
    assert parse_report(report.as_json()) == report


def test_checks_that_need_a_missing_package_are_skipped(tmp_path: Path) -> None:
    report = run_worker_doctor(tmp_path, missing="mlx_lm")
    assert report.checked == ()
    assert "mlx_lm" in report.not_checked[0].why
    assert "student" in report.not_checked[0].check


def test_without_redis_its_checks_are_skipped(tmp_path: Path) -> None:
    report = check_redis(Settings(dir=tmp_path))
    assert report.findings == ()
    assert [skipped.check for skipped in report.not_checked] == ["redis", "fleet"]


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
    assert [finding.name for finding in Machine(tmp_path, host).platform()] == found


@pytest.mark.parametrize(
    ("free", "found"),
    [(50 * GB, []), (3 * GB, [("disk_full", "warning")]), (GB // 2, [("disk_full", "error")])],
)
def test_disk(tmp_path: Path, free: int, found: list[tuple[str, str]]) -> None:
    findings = Machine(tmp_path / "not" / "made", LINUX, free=lambda _: free).disk()
    assert [(finding.name, finding.severity) for finding in findings] == found
    assert list(tmp_path.iterdir()) == []  # the check creates nothing


@pytest.mark.parametrize("name", ["stack.json", "services.env"])
@pytest.mark.parametrize(("mode", "found"), [(0o600, []), (0o644, ["password_readable"])])
def test_a_password_file_readable_by_others_is_an_error(tmp_path: Path, mode: int, found: list[str], name: str) -> None:
    file = tmp_path / name
    file.write_text("{}")
    file.chmod(mode)
    exposure = Exposure(tmp_path, services=tmp_path / "services.env")
    assert [finding.name for finding in exposure.files()] == found


def test_a_flower_without_a_login_is_an_error(tmp_path: Path) -> None:
    assert [finding.name for finding in Exposure(tmp_path, flower=lambda _: True).open_flower()] == ["flower_open"]
    assert list(Exposure(tmp_path, flower=lambda _: False).open_flower()) == []


def test_a_missing_git_is_an_error(tmp_path: Path) -> None:
    assert [finding.name for finding in Machine(tmp_path, LINUX, find=lambda _: None).git()] == ["git_missing"]
    assert list(Machine(tmp_path, LINUX, find=lambda _: "/usr/bin/git").git()) == []


def test_each_finding_names_its_section() -> None:
    assert diagnosis("clock_skew").help == "docs/troubleshooting.md#clock"
    paused = Diagnosis("worker_paused", "warning", "the worker 'a' is paused: 12 MB free in '/data'", "remedy")
    assert paused.help == "docs/troubleshooting.md#disk"
    (printed,) = DoctorReport(findings=(diagnosis("redis_no_aof"),)).as_json()["findings"]  # type: ignore[misc]
    assert printed["help"] == "docs/troubleshooting.md#redis-loses-data"  # type: ignore[index,call-overload]


def test_applejacks_own_packages_have_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert list(Machine(tmp_path, LINUX, environment).packages()) == []


@pytest.mark.parametrize("stray", ["config/__init__.py", "worker.py"])  # a package, and a user's script
def test_another_package_with_the_same_name_is_an_error(tmp_path: Path, stray: str) -> None:
    file = tmp_path / stray
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    (finding,) = Machine(tmp_path, LINUX, environment).packages()
    assert (finding.name, finding.severity) == ("foreign_package", "error")
    assert str(file) in finding.message


def test_a_shadowing_directory_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    assert [finding.name for finding in Machine(tmp_path, LINUX, environment).packages()] == ["shadowing_folder"]


def test_a_python_without_applejack_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    venv.create(tmp_path / "empty")
    machine = Machine(tmp_path, LINUX, {"PATH": os.environ["PATH"]}, python=str(tmp_path / "empty" / "bin" / "python"))
    assert {finding.name for finding in machine.packages()} == {"not_installed"}


def test_the_printed_report_names_each_section_once() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    found = (diagnosis("redis_no_aof"), diagnosis("redis_memory", "warning"), diagnosis("clock_skew"))
    print_report(console, DoctorReport(findings=found))
    lines = [line for line in console.export_text().splitlines() if line.startswith("more: ")]
    assert lines == [
        "more: docs/troubleshooting.md#redis-loses-data (redis_no_aof, redis_memory)",
        "more: docs/troubleshooting.md#clock (clock_skew)",
    ]
