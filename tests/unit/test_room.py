"""Free disk and memory in heartbeats."""

import shutil
from pathlib import Path

import psutil
import pytest

from worker.device.room import room


def test_room_is_that_of_the_folders_disk_also_before_it_exists(tmp_path: Path) -> None:
    found = room(tmp_path / "not" / "yet")
    disk, memory = found["disk"], found["memory"]
    assert isinstance(disk, dict)
    assert isinstance(memory, dict)
    assert disk["total"] == shutil.disk_usage(tmp_path).total
    assert memory["total"] == psutil.virtual_memory().total
    assert 0 < memory["available"] <= memory["total"]  # type: ignore[operator]


def test_a_disk_that_cannot_be_read_leaves_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(_: Path) -> None:
        raise OSError

    monkeypatch.setattr(shutil, "disk_usage", gone)
    assert set(room(tmp_path)) == {"memory"}
