"""A journal on a full disk: no line is cut or lost, and a line that was cut earlier spoils only itself."""

import errno
import os
from pathlib import Path

import pytest

from config.journal import Journal
from config.ledger import Ledger
from config.records import Trajectory


def made(job_id: str) -> Trajectory:
    return Trajectory(run_id="r", job_id=job_id, prompt="a question", outcome="completed")


def jobs(journal: Journal) -> list[str]:
    lines = (journal.folder / "r" / "w1.jsonl").read_text().splitlines()
    return [Trajectory.model_validate_json(line).job_id for line in lines]


def test_a_line_that_the_disk_takes_in_part_is_removed_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the comparison of lengths in _append_line: os.write returns fewer bytes, and no error."""
    journal, write = Journal(tmp_path, "w1"), os.write
    journal.add(made("one"))
    with monkeypatch.context() as planted:
        planted.setattr(os, "write", lambda file, line: write(file, line[:20]))
        for job_id in ("two", "three"):
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                journal.add(made(job_id))
        assert jobs(journal) == ["one"]
    journal.catch_up(Ledger.connect("redis://127.0.0.1:1"))  # asks nothing of it
    assert jobs(journal) == ["one", "two", "three"]
    journal.add(made("four"))
    assert jobs(journal) == ["one", "two", "three", "four"]


def test_a_line_after_one_that_was_cut_can_be_read(tmp_path: Path) -> None:
    """Fails without the line break that _append_line adds: both lines would be one that cannot be read."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "w1.jsonl").write_text('{"run_id": "r", "job_')  # the power went
    Journal(tmp_path, "w1").add(made("two"))
    first, second = (tmp_path / "r" / "w1.jsonl").read_text().splitlines()
    assert first == '{"run_id": "r", "job_'
    assert Trajectory.model_validate_json(second) == made("two")


def test_what_waits_for_an_archived_run_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, "w1")
    with monkeypatch.context() as planted:
        planted.setattr(os, "write", lambda *_: 0)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            journal.add(made("one"))
    journal.forget("r")
    journal.catch_up(Ledger.connect("redis://127.0.0.1:1"))
    assert journal.runs() == []
