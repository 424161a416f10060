"""The command line: what it refuses, how it fails, and that README and --help know every command."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from producer.cli import app
from producer.commands.submit import overrides
from producer.workspace import pinned

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def applejack(*arguments: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-c", "from producer.cli import main; main()", *arguments],
        capture_output=True, text=True, cwd=cwd, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **env},
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_names_every_command(command: str) -> None:
    assert re.search(rf"`applejack {command}`", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command: str) -> None:
    assert get_command(app).commands[command].get_short_help_str(200)  # type: ignore[attr-defined]


def test_a_prompts_file_with_one_bad_line_queues_nothing_and_names_it(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": 3}\n')
    done = applejack(
        "submit", "p.jsonl", "--run", "r", "--no-train", "--student", "s", cwd=tmp_path,
        APPLEJACK_REDIS_URL="redis://127.0.0.1:1/0",  # nobody listens: it must not come to that
    )  # fmt: skip
    assert done.returncode == 2
    assert "p.jsonl:2:" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit", "p.jsonl", "--run", "r", "--no-train", "--student", "s", "--workspace", "nowhere"), 2, "'nowhere'"),
        (("submit", "p.jsonl", "--run", "r"), 2, "--student"),  # training needs one
        (("submit", "p.jsonl", "--run", "a b", "--no-train", "--student", "s"), 2, "run_id is 'a b'"),
        (("submit", "p.jsonl", "--run", "r", "--no-train", "--student", "s", "--tools", "rm"), 2, "no tool 'rm'"),
        (("submit", "p.jsonl", "--run", "r", "--student", "s", "--lora", "iters"), 2, "KEY=VALUE"),
        (("submit", "p.jsonl", "--run", "r", "--no-train", "--student", "s"), 2, "applejack up"),  # no stack runs here
        (("status",), 2, "applejack up"),
        (("demo", "--jobs", "3"), 2, "--jobs 3"),
        (("frobnicate",), 2, "frobnicate"),
        (("prompts", "nowhere", "--count", "3", "--out", "o.jsonl"), 2, "nowhere"),
    ],
)
def test_bad_input_is_told_and_exits_with_2(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n')
    done = applejack(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl"]  # nothing was made


def test_an_endpoint_that_nobody_serves_is_one_line(tmp_path: Path) -> None:
    done = applejack("demo", "--endpoint", "http://127.0.0.1:1/v1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "applejack: the endpoint 'http://127.0.0.1:1/v1/chat/completions' cannot be reached: [Errno"
    )
    assert done.stderr.endswith("; start its server, or give another --endpoint\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_redis_that_is_down_is_one_line_without_its_password(tmp_path: Path) -> None:
    done = applejack("status", cwd=tmp_path, APPLEJACK_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_json_is_the_last_line_and_text_goes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("".join(f"class A{n}:\n    '''Doc {n}.'''\n" for n in range(40)))
    done = applejack("prompts", "code", "--count", "20", "--out", "o.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prompts"] == 20
    assert len(done.stdout.splitlines()) == 1
    assert "20 prompts" in done.stderr


def test_overrides_read_values_as_json_where_they_are() -> None:
    assert overrides(["iters=60", "lr=2e-4", "name=x"]) == {"iters": 60, "lr": 2e-4, "name": "x"}


def test_a_workspace_is_pinned_to_a_commit_where_there_is_git(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    assert pinned(str(plain)) == str(plain)
    git = tmp_path / "git"
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "m"],
    ):
        subprocess.run(
            [
                "git",
                *(["-C", str(git)] if git.exists() else []),
                *command,
                *([str(git)] if command[0] == "init" else []),
            ],
            check=True,
        )
    head = subprocess.run(["git", "-C", str(git), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    commit = head.stdout.strip()
    assert pinned(str(git)) == f"{git}@{commit}"
    assert pinned(f"{git}@HEAD") == f"{git}@{commit}"
    assert pinned("https://example.org/x.git@v1") == "https://example.org/x.git@v1"
