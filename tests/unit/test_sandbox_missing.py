"""Whether a sandbox works is tried, not only looked for: a kernel may forbid it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from worker.tools import sandbox


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    sandbox.missing.cache_clear()
    yield
    sandbox.missing.cache_clear()


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


FORBIDDEN = "echo 'No permissions to create new namespace' >&2; exit 1"


@pytest.mark.parametrize(
    ("platform", "name", "script", "reason"),
    [
        ("linux", "bwrap", FORBIDDEN, "bubblewrap does not work here: No permissions to create new namespace"),
        (
            "darwin",
            "sandbox-exec",
            "echo 'sandbox_apply: denied' >&2; exit 71",
            "does not work here: sandbox_apply: denied",
        ),
        ("linux", "bwrap", "exit 0", ""),
        ("darwin", "sandbox-exec", "exit 0", ""),
        ("linux", "other", "exit 0", "bubblewrap is not installed (apt-get install bubblewrap)"),
        ("darwin", "other", "exit 0", "sandbox-exec is not on PATH"),
    ],
)
def test_a_sandbox_that_does_not_work_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, name: str, script: str, reason: str
) -> None:
    """Fails without the run of a program in it."""
    program(tmp_path, name, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    found = sandbox.missing()
    assert found.endswith(reason)
    assert bool(found) is bool(reason)


def test_a_heartbeat_says_how_programs_run_where_some_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sandbox.heartbeat(Settings(commands="")) == {}
    assert "no_sandbox" in sandbox.heartbeat(Settings(commands="git"))
    assert sandbox.heartbeat(Settings(commands="git", unsandboxed=True)) == {"unsandboxed": True}
