"""The command line: usage errors, failures, and that README and --help list every command."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.main import get_command

from config.errors import UsageError
from config.prompts import Loaded
from config.records import Prompt, Spec
from producer.cli import app
from producer.commands.model_options import doubtful
from producer.commands.submit import require_sufficient_tools, require_tools
from producer.workspace import resolve_prompts, resolve_workspace

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def applejack(*arguments: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-c", "from producer.cli import main; main()", *arguments],
        capture_output=True, text=True, cwd=cwd, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **env},
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_lists_every_command(command: str) -> None:
    assert re.search(rf"`applejack {command}`", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_summary(command: str) -> None:
    assert get_command(app).commands[command].get_short_help_str(200)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("submit", "p.jsonl", "--run", "a b", "--no-train", "--student", "org/s"), 2, "--run is 'a b'; a run's id"),
        (("submit", "p.jsonl", "--run", "r" * 99, "--no-train", "--student", "org/s"), 2, f"--run is '{'r' * 80}...'"),
        (
            ("submit", "p.jsonl", "--run", "r", "--no-train", "--student", "org/s", "--tools", "rm"),
            2,
            "unknown tool 'rm'",
        ),
        (("submit", "p.jsonl", "--run", "r", "--student", "org/s", "--lora", "iters"), 2, "KEY=VALUE"),
        (("submit", "p.jsonl", "--run", "r", "--student", "org/s", "--test-share", "0.9"), 2, "--test-share is 0.9"),
        # otherwise mlx_lm would reject it hours later, when training starts
        (("submit", "p.jsonl", "--run", "r", "--student", "org/s", "--lora", "iter=6"), 2, "did you mean 'iters'?"),
        (("submit", "p.jsonl", "--run", "r", "--student", "org/s", "--workspace", "p.jsonl"), 2, "'p.jsonl' is a file"),
        (("status",), 2, "applejack up"),
        (("demo", "--jobs", "3"), 2, "--jobs 3"),
        (("frobnicate",), 2, "frobnicate"),
        (("prompts", "nowhere", "--count", "3", "--out", "o.jsonl"), 2, "nowhere"),
    ],
)
def test_bad_input_exits_with_2(tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "requires_tools": false}\n')
    done = applejack(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl"]  # no files were created


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
    ("prompts", "spec", "message"),
    [
        ([FREE, NEEDY], Spec(run_id="r"), "'Where is it[?]' needs tools, but there is no workspace.*--workspace"),
        (
            [NEEDY],
            Spec(run_id="r", workspace="/code", tools=()),
            "'Where is it[?]' needs tools, but the run has none.*--tools",
        ),
        ([Prompt(prompt="x" * 500)], Spec(run_id="r"), f"'{'x' * 80}...' needs tools"),
        ([FREE], Spec(run_id="r", tools=()), None),  # no prompt needs a tool
        ([NEEDY], Spec(run_id="r", workspace="/code"), None),
        ([NEEDY.model_copy(update={"workspace": "/code"})], Spec(run_id="r"), None),  # the prompt has its own workspace
        ([NEEDY], Spec(run_id="r", workspace="/code", tools=(), allow_commands=("git",)), None),  # one tool is left
    ],
)
def test_prompts_that_would_be_rejected_are_not_queued(prompts: list[Prompt], spec: Spec, message: str | None) -> None:
    with pytest.raises(UsageError, match=message) if message else nullcontext():
        require_tools(prompts, spec)


MINED = Prompt(prompt="What is the value of the constant LIMIT?", category="constant")
LISTED = Prompt(prompt="Name the Python files in pkg.", category="folder_files")
OWN = Prompt(prompt="What is constant about the tides?", category="constant")


@pytest.mark.parametrize(
    ("prompts", "tools", "message"),
    [
        (
            [MINED, LISTED, OWN, FREE],
            ("read_file",),
            r"2 prompts cannot be answered with --tools read_file; .* constant \(1\): grep; "
            r"folder_files \(1\): list_dir or find_files. Add the tools",
        ),
        ([MINED, LISTED], ("grep", "find_files"), None),
        ([OWN, NEEDY.model_copy(update={"category": "tides"})], ("read_file",), None),  # not the miner's questions
    ],
)
def test_mined_prompts_that_the_tools_cannot_answer_are_not_queued(
    prompts: list[Prompt], tools: tuple[str, ...], message: str | None
) -> None:
    with pytest.raises(UsageError, match=message) if message else nullcontext():
        require_sufficient_tools(prompts, Spec(run_id="r", workspace="/code", tools=tools))
    require_sufficient_tools(prompts, Spec(run_id="r", workspace="/code", tools=tools, allow_commands=("git",)))


@pytest.mark.parametrize(
    ("options", "categories"),
    [
        (("--category", "constant", "--category", "contents"), {"constant", "contents"}),
        (("--category", "constant", "--category", "units"), {"constant", "units"}),
        (("--category", "units"), {"units"}),
        (("--tools", "read_file", "--no-tools", "0"), {"contents"}),
        (("--category", "constant", "--tools", "read_file"), "questions of category 'constant' need grep"),
        (("--tools", ""), "no question about code can be answered with --tools ''"),
        (("--tools", "read_files"), "unknown tool 'read_files'; did you mean 'read_file'?"),
        (("--category", "constants"), "unknown category 'constants'; did you mean 'constant'? choose from subclasses"),
    ],
)
def test_prompts_takes_categories_and_tools(
    tmp_path: Path, options: tuple[str, ...], categories: set[str] | str
) -> None:
    for n in range(5):
        (tmp_path / f"a{n}.py").write_text(f"LIMIT_{n} = {n + 20}\n\n\nclass A{n}:\n    pass\n")
    done = applejack("prompts", ".", "--count", "5", "--out", "o.jsonl", "--json", *options, cwd=tmp_path)
    body = json.loads(done.stdout.splitlines()[-1])
    if isinstance(categories, str):
        assert (done.returncode, body["error"].startswith(categories)) == (2, True), body
        assert not (tmp_path / "o.jsonl").exists()
    else:
        assert (done.returncode, set(body["by_category"])) == (0, categories), body


def test_a_missing_student_directory_gives_a_warning(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert "there is no" in doubtful(str(tmp_path / "model"))
    assert "there is no" in doubtful("./nowhere")
    assert "there is no" in doubtful("~/nowhere/at/all")
    assert doubtful("mlx-community/Qwen3-4B-4bit") == ""  # a name on the hub
    (tmp_path / "model" / "config.json").write_text("{}")
    assert doubtful(str(tmp_path / "model")) == ""


def test_a_git_workspace_is_pinned_to_a_commit(tmp_path: Path) -> None:
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


def test_workspaces_of_prompts_are_resolved_and_those_elsewhere_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    away, url = "/of/another/machine@v1", "https://example.org/x.git@v1"
    texts = ["code", None, away, str(tmp_path / "code"), away, url]
    loaded = Loaded(tuple(Prompt(prompt="?", workspace=text) for text in texts), (), tuple(range(2, 8)))
    warnings: list[str] = []
    resolved = [prompt.workspace for prompt in resolve_prompts(loaded, Path("p.jsonl"), warn=warnings.append)]
    assert resolved == [str(tmp_path / "code"), None, away, str(tmp_path / "code"), away, url]
    [warning] = warnings
    assert warning.startswith(f"p.jsonl:4, 6: the workspace {away!r} is not on this machine")
    wrong = Loaded((*loaded.prompts, Prompt(prompt="?", workspace="./cod")), (), (*loaded.lines, 9))
    with pytest.raises(
        UsageError, match=r"p.jsonl:9: the workspace './cod' does not exist"
    ):  # relative to this machine
        resolve_prompts(wrong, Path("p.jsonl"), warn=warnings.append)
