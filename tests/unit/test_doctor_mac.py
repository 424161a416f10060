"""Doctor checks of a Mac, over outputs of its commands that others published: each fault is planted once."""

from pathlib import Path

import pytest

from config.diagnostics import CannotCheckError, run_checks
from producer.doctor.mac import Mac, command_output, settings_of
from producer.doctor.machine import Host, Machine

DATA = Path(__file__).resolve().parents[1] / "data" / "macos"
READY = {
    "sw_vers -productVersion": "14.2.1\n",
    "pmset -g": (DATA / "pmset.txt").read_text(),
    "pmset -g custom": (DATA / "pmset_custom.txt")
    .read_text()
    .replace(" sleep                1", " sleep                0"),
    "pmset -g batt": (DATA / "pmset_batt_power.txt").read_text(),
    "ioreg -r -k AppleClamshellState -d 4": (DATA / "ioreg_lid.txt").read_text(),
}
LID = READY["ioreg -r -k AppleClamshellState -d 4"]
CLOSED = LID.replace('State" = No', 'State" = Yes')
DISABLED = READY["pmset -g"].replace("settings:\n", "settings:\n SleepDisabled\t\t1\n", 1)


def mac(caffeinate: bool = True, python: tuple[int, int] = (3, 12), base: str = "/opt/homebrew", **outputs: str) -> Mac:
    """A Mac that has no finding, except for the outputs given: sw_vers, pmset, custom, batt, ioreg."""
    names = dict(zip(("sw_vers", "pmset", "custom", "batt", "ioreg"), READY, strict=True))
    printed = READY | {names[name]: text for name, text in outputs.items()}
    return Mac(caffeinate, lambda *command: printed[" ".join(command)], python, Path(base))


def found(planted: Mac) -> list[tuple[str, str]]:
    report = run_checks(planted.checks())
    assert report.not_checked == ()
    return [(finding.name, finding.severity) for finding in report.findings]


def test_a_mac_that_is_ready_for_the_night_has_no_finding() -> None:
    assert found(mac()) == []


@pytest.mark.parametrize(
    ("planted", "finding"),
    [
        (mac(sw_vers="13.6.9\n"), ("macos_old", "error")),
        (mac(python=(3, 9)), ("python_old", "error")),
        (mac(base="/Applications/Xcode.app/Contents/Developer/Library/Frameworks/Python3.framework/Versions/3.11"),
         ("python_of_xcode", "warning")),
        (mac(base="/Library/Developer/CommandLineTools/Library/Frameworks/Python3.framework/Versions/3.11"),
         ("python_of_xcode", "warning")),
        (mac(custom=(DATA / "pmset_custom.txt").read_text()), ("mac_sleeps", "warning")),
        (mac(custom="", pmset=(DATA / "pmset_intel.txt").read_text()), ("mac_sleeps", "warning")),
        (mac(batt=(DATA / "pmset_batt_battery.txt").read_text()), ("on_battery", "warning")),
        (mac(ioreg=CLOSED), ("lid_closed", "error")),
        (mac(pmset=READY["pmset -g"].replace("lowpowermode         0", "lowpowermode         1")),
         ("low_power_mode", "warning")),
        (mac(pmset=READY["pmset -g"].replace("lowpowermode         0", "powermode            1")),
         ("low_power_mode", "warning")),
    ],
)  # fmt: skip
def test_a_planted_fault_is_the_only_finding(planted: Mac, finding: tuple[str, str]) -> None:
    assert found(planted) == [finding]


@pytest.mark.parametrize(
    "planted",
    [
        mac(custom=(DATA / "pmset_custom.txt").read_text(), pmset=DISABLED),  # pmset -a disablesleep 1
        mac(ioreg=CLOSED, pmset=DISABLED),
        mac(ioreg=CLOSED.replace('CausesSleep" = Yes', 'CausesSleep" = No')),  # an external display
        mac(ioreg="", batt="Now drawing from 'AC Power'\n"),  # a Mac without lid and battery
        mac(pmset=READY["pmset -g"].replace("lowpowermode         0", "powermode            2")),  # high power
    ],
)
def test_what_does_not_put_a_mac_to_sleep_is_not_a_finding(planted: Mac) -> None:
    assert found(planted) == []


def test_the_sleep_finding_says_whether_a_worker_keeps_the_mac_awake() -> None:
    sleeps = (DATA / "pmset_custom.txt").read_text()
    (kept,), (left,) = list(mac(custom=sleeps).sleep()), list(mac(caffeinate=False, custom=sleeps).sleep())
    assert "after 1 min" in kept.message
    assert "only while it has work" in kept.message
    assert "APPLEJACK_CAFFEINATE is off" in left.message


def test_settings_are_read_by_section_without_remarks() -> None:
    live = settings_of((DATA / "pmset_intel.txt").read_text())
    assert live["System-wide power settings"] == {"SleepDisabled": "0"}
    assert live["Currently in use"]["sleep"] == "1"
    assert settings_of((DATA / "pmset.txt").read_text())["Currently in use"]["Sleep On Power Button"] == "1"


def test_a_command_that_is_missing_skips_its_check() -> None:
    with pytest.raises(CannotCheckError, match="no-such-command"):
        command_output("no-such-command", "-g")


def test_a_mac_is_checked_as_one_and_linux_is_not(tmp_path: Path) -> None:
    def names(system: str) -> set[str]:
        return {check.name for check in Machine(tmp_path, Host(system, "arm64", False)).checks()}

    assert {"sleep settings", "lid"} <= names("Darwin")
    assert not {"sleep settings", "lid"} & names("Linux")


@pytest.mark.parametrize(
    ("limit", "concurrency", "found"), [(256, None, 0), (256, 64, 1), (128, None, 1), (1024, 64, 0), (-1, 64, 0)]
)
def test_a_low_limit_of_open_files_is_found(tmp_path: Path, limit: int, concurrency: int | None, found: int) -> None:
    host = Host("Darwin", "arm64", False)
    machine = Machine(tmp_path, host, descriptors=lambda: limit, concurrency=concurrency)
    assert [finding.name for finding in machine.open_files()] == ["few_descriptors"] * found


@pytest.mark.parametrize(("gigabytes", "found"), [(8, 1), (16, 0)])
def test_too_little_memory_for_a_model_is_found(tmp_path: Path, gigabytes: int, found: int) -> None:
    machine = Machine(tmp_path, Host("Darwin", "arm64", False), memory=lambda: gigabytes * 2**30)
    assert [finding.name for finding in machine.small_memory()] == ["small_memory"] * found
