import os
import subprocess
from pathlib import Path

import pytest

from config.git import GitError, GitTimeoutError, run_git

SECONDS = 30.0


def _git(where: Path, *arguments: str) -> str:
    """git without the guards, so that what must not run is shown to run."""
    return subprocess.run(["git", *arguments], cwd=where, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    made = tmp_path / "repo"
    made.mkdir()
    _git(made, "init", "--quiet")
    _git(made, "config", "user.name", "t")
    _git(made, "config", "user.email", "t@example.org")
    (made / "ä.txt").write_bytes(b"one\r\n\xff")
    _git(made, "add", ".")
    _git(made, "commit", "--quiet", "-m", "one")
    return made


def _trap(path: Path, mark: Path) -> Path:
    path.write_text(f"#!/bin/sh\necho ran >> '{mark}'\n")
    path.chmod(0o755)
    return path


def test_a_repositorys_own_hook_does_not_run(repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (repository / ".git" / "hooks").mkdir(exist_ok=True)
    _trap(repository / ".git" / "hooks" / "post-checkout", mark)
    run_git(repository, "checkout", "--quiet", "--detach", "HEAD", timeout=SECONDS)
    assert not mark.exists()
    _git(repository, "checkout", "--quiet", "--detach", "HEAD")
    assert mark.exists()


def test_a_repositorys_own_file_system_monitor_does_not_run(repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    _git(repository, "config", "core.fsmonitor", str(_trap(tmp_path / "monitor", mark)))
    run_git(repository, "status", "--porcelain", timeout=SECONDS)
    assert not mark.exists()
    _git(repository, "status", "--porcelain")
    assert mark.exists()


def test_output_is_returned_byte_for_byte(repository: Path) -> None:
    blob = run_git(repository, "rev-parse", "HEAD:ä.txt", timeout=SECONDS).strip()
    batch = run_git(repository, "cat-file", "--batch", timeout=SECONDS, given=blob + b"\n")
    assert batch == blob + b" blob 6\none\r\n\xff\n"
    assert run_git(repository, "ls-files", timeout=SECONDS) == "ä.txt\n".encode()  # not quoted


def test_variables_of_the_caller_do_not_mislead(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert run_git(repository, "rev-parse", "--show-prefix", timeout=SECONDS) == b"\n"
    with pytest.raises(GitError, match="/elsewhere"):  # what this command is given counts
        run_git(repository, "rev-parse", "HEAD", timeout=SECONDS, env={"GIT_DIR": "/elsewhere"})


def test_a_failure_carries_its_code_and_one_line(repository: Path) -> None:
    with pytest.raises(GitError, match="Not a valid object name") as failed:
        run_git(repository, "cat-file", "-p", "nothing", timeout=SECONDS)
    assert failed.value.code == 128
    assert "\n" not in str(failed.value)


def test_a_directory_that_is_missing_is_not_a_missing_git(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="cannot change to") as failed:
        run_git(tmp_path / "missing", "status", timeout=SECONDS)
    assert failed.value.code == 128


def test_a_missing_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed") as failed:
        run_git(tmp_path, "status", timeout=SECONDS)
    assert failed.value.code is None


def test_a_command_that_hangs_is_killed(repository: Path) -> None:
    _git(repository, "config", "alias.hang", "!exec sleep 30")
    with pytest.raises(GitTimeoutError, match="git hang took longer than 1 s") as failed:
        run_git(repository, "hang", timeout=1.0)
    assert failed.value.code is None
