"""What both command lines say to a command that cannot be read: one line, one prefix, exit code 2."""

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


def said(command: list[str], *, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("APPLEJACK_")}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**clean, **env}, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        # an option that is none
        (["submit", "--foo"], "No such option: --foo (Possible options: --format, --tools); `applejack submit --help`"),
        # a command that is none
        (["submi"], "No such command 'submi'. Did you mean 'submit', 'resubmit'?; `applejack --help`"),
        # an argument is missing, and typer lists the choices a line each
        (["worker"], "Missing argument 'role'. Choose from: generate, curate, train; `applejack worker --help`"),
        # out of range
        (["prompts", "x", "--count", "0", "--out", "o"], "Invalid value for '--count': Input should be greater than"),
        # the worker's side, handed over
        (["audit"], "Missing argument 'paths'; `applejack audit --help`"),
        # no URL, whether given or in the environment of the row below
        (["worker", "generate", "--endpoint", "foo"], "the endpoint 'foo' is not of the form http://HOST:PORT/PATH"),
        (["worker", "generate", "--endpoint", "http://u:secret@h:99999/v1"], "the endpoint 'http://h:99999/v1' is not"),
        (["worker", "generate"], "the endpoint 'ftp://h/v1' is not of the form"),
        (["demo", "--endpoint", "localhost:8080/v1"], "the endpoint 'localhost:8080/v1' is not of the form"),
        # an endpoint that this worker does not ask: it gets as far as looking for a stack
        (["worker", "curate"], "no stack runs in"),
        (["worker", "generate", "--serve", "m"], "no stack runs in"),
        (["worker", "generate", "--endpoint", "http://127.0.0.1:8080/v1"], "no stack runs in"),
    ],
)
def test_a_refusal_is_one_line_with_our_name(tmp_path: Path, arguments: list[str], line: str) -> None:
    done = said([*PRODUCER, *arguments], cwd=tmp_path, APPLEJACK_ENDPOINT="ftp://h/v1")
    assert done.returncode == 2
    assert done.stderr.startswith(f"applejack: {line}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # nothing was made


def test_no_command_at_all_prints_the_help_alone(tmp_path: Path) -> None:
    done = said(PRODUCER, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "resubmit" in done.stdout


def test_the_version_is_told(tmp_path: Path) -> None:
    done = said([*PRODUCER, "--version"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"applejack {version('applejack')}\n")


@pytest.mark.parametrize(
    "command", [[*PRODUCER, "status"], [*WORKER, "audit"], [sys.executable, "-m", "producer.flower"]]
)
def test_no_help_offers_to_write_into_a_shell_profile(tmp_path: Path, command: list[str]) -> None:
    done = said([*command, "--help"], cwd=tmp_path)
    assert done.returncode == 0
    assert "--help" in done.stdout
    assert "completion" not in done.stdout


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        # found by us
        ([*PRODUCER, "status", "--json"], 2, "no stack runs in 'data': start one"),
        # found by click, which never comes to the option
        ([*PRODUCER, "resubmit", "--json", "r", "--foo"], 2, "No such option: --foo"),
        ([*PRODUCER, "submi", "--json"], 2, "No such command 'submi'"),
        # no fault of the person's
        ([*PRODUCER, "demo", "--json", "--endpoint", "http://127.0.0.1:1/v1"], 1, "the endpoint 'http://127.0.0.1:1"),
        # the worker's side, by itself and handed over
        ([*WORKER, "audit", "nowhere.jsonl", "--json"], 2, ""),
        ([*WORKER, "nothing", "--json"], 2, "no stage 'nothing'"),
        ([*PRODUCER, "audit", "--json"], 2, "Missing argument 'paths'"),
    ],
)
def test_with_json_the_last_line_on_stdout_tells_the_error(
    tmp_path: Path, command: list[str], code: int, line: str
) -> None:
    done = said(command, cwd=tmp_path, PYTHONPATH=str(ROOT))
    body = json.loads(done.stdout.splitlines()[-1])
    assert body["error"].startswith(line)
    assert done.stderr == f"applejack: {body['error']}\n"
    assert body["exit_code"] == done.returncode == code
    assert set(body) == {"error", "exit_code"}


def test_without_json_stdout_is_empty(tmp_path: Path) -> None:
    assert said([*PRODUCER, "status"], cwd=tmp_path).stdout == ""
