import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.atomic_files import replace_directory, replace_file, write_lines, write_text, writing
from config.errors import UsageError

KILLED_FILE = """
import os, signal, sys
from pathlib import Path
from config.atomic_files import write_lines

def lines():
    yield "new " * 100_000
    os.kill(os.getpid(), signal.SIGKILL)

write_lines(Path(sys.argv[1]), lines())
"""
KILLED_DIRECTORY = """
import os, signal, sys
from pathlib import Path
from config.atomic_files import replace_directory

with replace_directory(Path(sys.argv[1])) as fresh:
    (fresh / "a.txt").write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_BETWEEN_RENAMES = """
import os, signal, sys
from pathlib import Path
from config.atomic_files import replace_directory

rename = Path.rename
def moved_away_then_killed(self, target):
    moved = rename(self, target)
    if Path(target).name == "old":
        os.kill(os.getpid(), signal.SIGKILL)
    return moved

Path.rename = moved_away_then_killed
with replace_directory(Path(sys.argv[1])) as fresh:
    (fresh / "a.txt").write_text("new")
"""


def _kill_in_mid_write(program: str, target: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _directory(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text(content)
    return folder


def test_a_file_keeps_its_old_content_when_the_writer_is_killed(tmp_path: Path) -> None:
    file = write_text(tmp_path / "x.jsonl", "old\n")
    _kill_in_mid_write(KILLED_FILE, file)
    assert file.read_text() == "old\n"
    assert len(_names(tmp_path)) == 2  # the killed attempt was at work
    assert write_lines(file, ["a", "b"]) == 2
    assert file.read_bytes() == b"a\nb\n"
    assert _names(tmp_path) == ["x.jsonl"]


def test_a_file_keeps_its_old_content_when_the_writer_raises(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "new"
        raise ValueError("no more lines")

    file = write_text(tmp_path / "x.jsonl", "old\n")
    with pytest.raises(ValueError, match="no more lines"):
        write_lines(file, lines())
    assert file.read_text() == "old\n"
    assert _names(tmp_path) == ["x.jsonl"]


def test_the_old_file_is_read_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = write_text(tmp_path / "x", "old")
    with replace_file(file) as draft:
        draft.write_bytes(b"new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"


@pytest.mark.parametrize(("private", "mode"), [(True, 0o600), (False, 0o644)])
def test_only_the_owner_can_read_a_private_file(tmp_path: Path, private: bool, mode: int) -> None:
    before = os.umask(0o022)
    try:
        file = write_text(tmp_path / "password", "secret", private=private)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_private_file_is_private_before_it_is_written(tmp_path: Path) -> None:
    with replace_file(tmp_path / "password", private=True) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600


def test_a_directory_keeps_its_old_content_when_the_writer_is_killed(tmp_path: Path) -> None:
    target = _directory(tmp_path / "out", "old")
    _kill_in_mid_write(KILLED_DIRECTORY, target)
    assert (target / "a.txt").read_text() == "old"
    assert len(_names(tmp_path)) == 2  # the killed attempt was at work
    with replace_directory(target) as fresh:
        assert _names(fresh) == []
        (fresh / "b.txt").write_text("new")
        assert (target / "a.txt").read_text() == "old"
    assert _names(target) == ["b.txt"]
    assert _names(tmp_path) == ["out"]


def test_a_directory_keeps_its_old_content_when_the_writer_raises(tmp_path: Path) -> None:
    target = _directory(tmp_path / "out", "old")
    with pytest.raises(IsADirectoryError), replace_directory(target) as fresh:
        fresh.write_text("a directory is not a file")
    assert (target / "a.txt").read_text() == "old"
    assert _names(tmp_path) == ["out"]


def test_the_old_directory_is_put_back_when_the_new_one_cannot_be_renamed(tmp_path: Path) -> None:
    target = _directory(tmp_path / "out", "old")
    with pytest.raises(FileNotFoundError), replace_directory(target) as fresh:
        fresh.rmdir()
    assert (target / "a.txt").read_text() == "old"
    assert _names(tmp_path) == ["out"]


def test_two_attempts_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replace_directory(target) as slow:
        (slow / "a.txt").write_text("slow")
        with replace_directory(target) as quick:
            (quick / "a.txt").write_text("quick")
        assert (target / "a.txt").read_text() == "quick"
    assert (target / "a.txt").read_text() == "slow"
    assert _names(tmp_path) == ["out"]


def test_a_directory_is_as_readable_as_any_other(tmp_path: Path) -> None:
    with replace_directory(tmp_path / "deep" / "out") as fresh:
        (fresh / "a.txt").write_text("new")
    other = tmp_path / "other"
    other.mkdir()
    assert (tmp_path / "deep" / "out").stat().st_mode == other.stat().st_mode


def test_a_refusal_of_the_disk_names_the_place(tmp_path: Path) -> None:
    file = write_text(tmp_path / "file", "")
    expected = re.escape(f"{str(file / 'x')!r} cannot be written: Not a directory")
    with pytest.raises(UsageError, match=expected), writing(file / "x"):
        write_text(file / "x", "text")
    with pytest.raises(UsageError, match=expected), writing(file / "x"), replace_directory(file / "x"):
        pass


def test_a_directory_that_was_moved_away_is_put_back_when_the_next_attempt_fails(tmp_path: Path) -> None:
    """Fails without the rename in _workplace: the next attempt removes the old content before it has new."""
    target = _directory(tmp_path / "out", "old")
    _kill_in_mid_write(KILLED_BETWEEN_RENAMES, target)
    assert not target.exists()
    with pytest.raises(UsageError), replace_directory(target):
        raise UsageError("no student")
    assert (target / "a.txt").read_text() == "old"
    assert _names(tmp_path) == ["out"]
