"""The findings of `applejack doctor` in a terminal of any width."""

import pytest
from rich.console import Console

from config.diagnostics import Diagnosis, DoctorReport, Skipped
from producer.commands.doctor import print_report

ADDRESS = "http://model-server-of-anna.studio.example.org:8080/v1"
REPORT = DoctorReport(
    findings=(
        Diagnosis("endpoint_unreachable", "error", f"nothing answers at {ADDRESS} ([Errno 61])", "start [it] there"),
        Diagnosis("worker_version", "warning", "the worker 'w' runs applejack 0.8", "run `applejack worker generate`"),
    ),
    checked=("queues have workers", "runs have workers"),
    not_checked=(Skipped("parser", f"{ADDRESS} does not answer"),),
    facts=(f"the student needs 1.2 GB; see {ADDRESS}",),
)


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_addresses_and_commands_are_whole_at_every_width(width: int) -> None:
    console = Console(width=width, force_terminal=False, soft_wrap=True, highlight=False)
    with console.capture() as capture:
        print_report(console, REPORT)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    whole = [line for line in lines if ADDRESS in line]
    assert len(whole) == 3 or width == 160  # in columns, an address may take two lines of its cell
    text = " ".join(" ".join(lines).split())
    assert "error: endpoint_unreachable" in text or width == 160
    assert "start [it] there" in text  # brackets are not markup
    assert "`applejack worker generate`" in text
    assert "checked: queues have workers, runs have workers" in text
    assert f"not checked: parser: {ADDRESS} does not answer" in text


def test_a_machine_without_problems_has_one_line_for_it() -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        print_report(console, DoctorReport(checked=("queues",)))
    assert capture.get() == "no problems found\nchecked: queues\n"
