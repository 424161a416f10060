"""The command line: what it refuses, how it fails, and that README and --help know every command."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.main import get_command

from config.errors import UsageError
from config.records import Prompt, Spec
from producer.cli import app
from producer.commands.submit import doubtful, require_tools
from producer.workspace import resolve_workspace

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
        (("submit", "p.jsonl", "--run", "a b", "--no-train", "--student", "s"), 2, "--run is 'a b'; a run's id"),
        (("submit", "p.jsonl", "--run", "r" * 99, "--no-train", "--student", "s"), 2, f"--run is '{'r' * 80}...'"),
        (("submit", "p.jsonl", "--run", "r", "--no-train", "--student", "s", "--tools", "rm"), 2, "no tool 'rm'"),
        (("submit", "p.jsonl", "--run", "r", "--student", "s", "--lora", "iters"), 2, "KEY=VALUE"),
        # mlx_lm would refuse it hours later, before it trains
        (("submit", "p.jsonl", "--run", "r", "--student", "s", "--lora", "iter=6"), 2, "did you mean 'iters'?"),
        (("submit", "p.jsonl", "--run", "r", "--student", "p.jsonl"), 2, "--student 'p.jsonl' is a file"),
        (("submit", "p.jsonl", "--run", "r", "--student", "s", "--workspace", "p.jsonl"), 2, "'p.jsonl' is a file"),
        (("submit", "p.jsonl", "--run", "r", "--no-train", "--student", "s"), 2, "applejack up"),  # no stack runs here
        (("status",), 2, "applejack up"),
        (("demo", "--jobs", "3"), 2, "--jobs 3"),
        (("frobnicate",), 2, "frobnicate"),
        (("prompts", "nowhere", "--count", "3", "--out", "o.jsonl"), 2, "nowhere"),
    ],
)
def test_bad_input_is_told_and_exits_with_2(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "requires_tools": false}\n')
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


NEEDY, FREE = Prompt(prompt="Where is it?"), Prompt(prompt="What is 2 + 2?", requires_tools=False)


@pytest.mark.parametrize(
    ("prompts", "spec", "said"),
    [
        ([FREE, NEEDY], Spec(run_id="r"), "'Where is it[?]' needs tools and names no code.*--workspace"),
        (
            [NEEDY],
            Spec(run_id="r", workspace="/code", tools=()),
            "'Where is it[?]' needs tools and the run has none.*--tools",
        ),
        ([Prompt(prompt="x" * 500)], Spec(run_id="r"), f"'{'x' * 80}...' needs tools"),
        ([FREE], Spec(run_id="r", tools=()), None),  # nothing needs a tool
        ([NEEDY], Spec(run_id="r", workspace="/code"), None),
        ([NEEDY.model_copy(update={"workspace": "/code"})], Spec(run_id="r"), None),  # the prompt brings its own
        ([NEEDY], Spec(run_id="r", workspace="/code", tools=(), allow_commands=("git",)), None),  # one tool is left
    ],
)
def test_a_prompt_that_could_only_be_rejected_is_not_queued(
    prompts: list[Prompt], spec: Spec, said: str | None
) -> None:
    with pytest.raises(UsageError, match=said) if said else nullcontext():
        require_tools(prompts, spec)


def test_a_student_that_is_not_on_this_machine_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert "there is no" in doubtful(str(tmp_path / "model"))
    assert "there is no" in doubtful("./nowhere")
    assert "there is no" in doubtful("~/nowhere/at/all")
    assert doubtful("mlx-community/Qwen3-4B-4bit") == ""  # the hub's
    (tmp_path / "model" / "config.json").write_text("{}")
    assert doubtful(str(tmp_path / "model")) == ""


def test_a_workspace_is_pinned_to_a_commit_where_there_is_git(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    assert resolve_workspace(str(plain)) == str(plain)
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
    assert resolve_workspace(str(git)) == f"{git}@{commit}"
    assert resolve_workspace(f"{git}@HEAD") == f"{git}@{commit}"
    assert resolve_workspace("https://example.org/x.git@v1") == "https://example.org/x.git@v1"
