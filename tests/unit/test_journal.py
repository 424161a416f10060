"""A journal whose last line is not whole: what is written next is."""

import resource
from contextlib import suppress
from pathlib import Path

import pytest

from config.journal import Journal
from config.records import Trajectory


def made(job_id: str) -> Trajectory:
    return Trajectory(run_id="r", job_id=job_id, attempt=1, prompt="p", outcome="completed")


def readable(file: Path) -> list[str]:
    """The job ids of the lines that can be read."""
    found = []
    for line in file.read_bytes().splitlines():
        with suppress(ValueError):
            found.append(Trajectory.model_validate_json(line).job_id)
    return found


def test_a_line_is_whole_after_a_part_of_one(tmp_path: Path) -> None:
    """Fails without the line break in Journal._append: the power cut takes the next trajectory too."""
    journal = Journal(tmp_path, "w1")
    journal.add(made("000001-a"))
    file = tmp_path / "r" / "w1.jsonl"
    with file.open("ab") as part:
        part.write(b'{"run_id": "r", "job_id": "0000')
    journal.add(made("000002-b"))
    journal.add(made("000003-c"))
    assert readable(file) == ["000001-a", "000002-b", "000003-c"]
    assert len(file.read_bytes().splitlines()) == 4


def test_a_full_disk_is_an_error_and_costs_one_line(tmp_path: Path) -> None:
    """Fails without _write_all: the part that fits counts as written, and nobody is told."""
    journal = Journal(tmp_path, "w1")
    journal.add(made("000001-a"))
    file = tmp_path / "r" / "w1.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, limits[1]))  # as full as a disk can be
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.add(made("000002-b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.add(made("000003-c"))
    assert readable(file) == ["000001-a", "000003-c"]
