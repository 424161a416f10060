"""What applejack writes can be read by its owner only, whatever the umask; earlier files are restricted at a start."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.private_files import restrict, restrict_log
from config.settings import Settings
from tests.support.trajectories import looked_up
from tests.support.workers import ROOT

UP = "import os, sys; os.umask(0); sys.argv[1:] = {words}; from producer.cli import main; main()"


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-c", UP.format(words=list(words))]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "APPLEJACK_DIR": str(folder)}


def readable_by_others(folder: Path) -> list[str]:
    """Files and directories below a folder that another user could open, were the folder open."""
    return [
        f"{path.relative_to(folder)} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in folder.rglob("*")
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


@pytest.mark.timeout(180)
def test_nothing_of_a_stack_is_readable_by_others_with_umask_0(tmp_path: Path) -> None:
    """Server, workers, Flower, their logs, passwords and databases. Fails without make_files_private."""
    folder = tmp_path / "data"
    (folder / "logs").mkdir(parents=True)  # of an earlier version
    (folder / "logs").chmod(0o755)
    (folder / "logs" / "old.log").write_text("old")
    (folder / "logs" / "old.log").chmod(0o600)
    words = command(tmp_path, "up", "--workers", "1", "--json")
    with subprocess.Popen(words, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as stack:
        try:
            assert stack.stdout is not None
            assert stack.stdout.readline(), stack.stderr and stack.stderr.read().decode()
            deadline = time.monotonic() + 60
            while not (folder / "flower-session-key").exists():  # Flower starts after the workers
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            stack.terminate()
            stack.communicate(timeout=60)
    written = {path.name for path in folder.rglob("*")}
    assert {"server.log", "generate1.log", "curate.log", "flower.log", "flower-password.json", "server.conf"} <= written
    assert readable_by_others(folder) == []


def test_a_dataset_and_its_page_are_private_with_umask_0(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(looked_up(n).model_dump_json() + "\n" for n in range(20)))
    (tmp_path / "in.jsonl").chmod(0o600)
    for words in (
        ("curate", "in.jsonl", "--out", "out", "--format", "seed-text"),
        ("review", "out", "--trajectories", "in.jsonl"),
    ):
        done = subprocess.run(
            command(tmp_path, *words), env=environment(tmp_path / "data"), cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "train.jsonl").is_file()
    assert (tmp_path / "out.review.html").is_file()
    assert readable_by_others(tmp_path) == []


def test_files_of_an_earlier_version_are_restricted_and_others_are_not(tmp_path: Path) -> None:
    wide, link = (
        [tmp_path / name for name in ("logs", "runs", "flower.db", "stack.lock", "mine.txt")],
        tmp_path / "cache",
    )
    for place in wide:
        place.touch() if place.suffix else place.mkdir()
        place.chmod(0o666 if place.suffix else 0o755)
    link.symlink_to(tmp_path / "mine.txt")  # is not followed
    changed = restrict(Settings(dir=tmp_path).own_places)
    assert sorted(path.name for path in changed) == ["flower.db", "logs", "runs", "stack.lock"]
    assert [stat.S_IMODE(place.stat().st_mode) for place in wide] == [0o700, 0o700, 0o600, 0o600, 0o666]
    assert restrict(Settings(dir=tmp_path).own_places) == []


def test_the_log_that_a_service_manager_opened_is_restricted(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    code = "from config.private_files import restrict_log; restrict_log()"
    with log.open("wb") as out:
        log.chmod(0o644)
        subprocess.run([sys.executable, "-c", code], stderr=out, check=True, cwd=ROOT)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    restrict_log()  # no file: nothing happens
