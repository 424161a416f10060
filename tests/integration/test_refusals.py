"""Usage errors of both command lines: one line with the prefix "applejack: ", and exit code 2."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCER = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]
WORKER = [sys.executable, "-P", "-m", "worker.cli"]


def run_command(command: list[str], *, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("APPLEJACK_")}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**clean, **env}, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        # an unknown option
        (
            ["submit", "--foo"],
            "No such option: --foo (Possible options: --force, --format, --tools); `applejack submit --help`",
        ),
        # an unknown command
        (["submi"], "No such command 'submi'. Did you mean 'submit', 'resubmit'?; `applejack --help`"),
        # a missing argument
        (["worker"], "Missing argument 'ROLE'; `applejack worker --help`"),
        # out of range
        (["prompts", "x", "--count", "0", "--out", "o"], "Invalid value for '--count': Input should be greater than"),
        # a worker command
        (["audit"], "Missing argument 'paths'; `applejack audit --help`"),
        # not a URL, as an option or in APPLEJACK_ENDPOINT (set below)
        (["worker", "generate", "--endpoint", "foo"], "the endpoint 'foo' is not of the form http://HOST:PORT/PATH"),
        (["worker", "generate", "--endpoint", "http://u:secret@h:99999/v1"], "the endpoint 'http://h:99999/v1' is not"),
        (["worker", "generate"], "the endpoint 'ftp://h/v1' is not of the form"),
        # workers that do not use APPLEJACK_ENDPOINT: the next error is the missing stack
        (["worker", "curate"], "no stack is running in"),
        (["worker", "generate", "--serve", "m"], "no stack is running in"),
        (["worker", "generate", "--endpoint", "http://127.0.0.1:8080/v1"], "no stack is running in"),
    ],
)
def test_a_usage_error_is_one_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    done = run_command([*PRODUCER, *arguments], cwd=tmp_path, APPLEJACK_ENDPOINT="ftp://h/v1")
    assert done.returncode == 2
    assert done.stderr.startswith(f"applejack: {line}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # no files were created


def test_without_a_command_only_the_help_is_printed(tmp_path: Path) -> None:
    done = run_command(PRODUCER, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "resubmit" in done.stdout


def test_version_is_printed(tmp_path: Path) -> None:
    done = run_command([*PRODUCER, "--version"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"applejack {version('applejack')}\n")


@pytest.mark.parametrize(
    "command", [[*PRODUCER, "status"], [*WORKER, "audit"], [sys.executable, "-m", "producer.flower"]]
)
def test_help_offers_no_shell_completion(tmp_path: Path, command: list[str]) -> None:
    done = run_command([*command, "--help"], cwd=tmp_path)
    assert done.returncode == 0
    assert "--help" in done.stdout
    assert "completion" not in done.stdout


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        # raised by applejack
        ([*PRODUCER, "status", "--json"], 2, "no stack is running in 'data': start one"),
        # raised by click, before it parses --json
        ([*PRODUCER, "resubmit", "--json", "r", "--foo"], 2, "No such option: --foo"),
        ([*PRODUCER, "submi", "--json"], 2, "No such command 'submi'"),
        # not a usage error
        ([*PRODUCER, "demo", "--json", "--endpoint", "http://127.0.0.1:1/v1"], 1, "the endpoint 'http://127.0.0.1:1"),
        # worker commands, run directly and through `applejack`
        ([*WORKER, "audit", "nowhere.jsonl", "--json"], 2, ""),
        ([*WORKER, "nothing", "--json"], 2, "no stage 'nothing'"),
        ([*PRODUCER, "audit", "--json"], 2, "Missing argument 'paths'"),
    ],
)
def test_with_json_the_last_line_on_stdout_is_the_error(
    tmp_path: Path, command: list[str], code: int, line: str
) -> None:
    done = run_command(command, cwd=tmp_path, PYTHONPATH=str(ROOT))
    body = json.loads(done.stdout.splitlines()[-1])
    assert body["error"].startswith(line)
    assert done.stderr == f"applejack: {body['error']}\n"
    assert body["exit_code"] == done.returncode == code
    assert set(body) == {"error", "exit_code"}


def test_without_json_stdout_is_empty(tmp_path: Path) -> None:
    assert run_command([*PRODUCER, "status"], cwd=tmp_path).stdout == ""
