import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.support.tiny_student import make_tiny_student
from worker.cli.__main__ import COMMANDS
from worker.cli.audit import audit

KEYS = {
    "rows",
    "duplicates",
    "leaked_rows",
    "leaked_questions",
    "no_system",
    "lost_call_rows",
    "empty_argument_calls",
    "placeholder_rows",
    "unanswered_calls",
    "notations",
    "tool_share",
}
ROW = {"text": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>"}


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(audit)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def write(directory: Path, *rows: object) -> Path:
    (directory / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return directory


def test_audit_is_a_command_of_the_worker() -> None:
    assert COMMANDS["audit"] == ("worker.cli.audit", "audit")


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([ROW], 0),  # clean
        ([ROW, ROW], 1),  # a duplicate
    ],
)
def test_the_last_line_is_json_with_the_counts_and_the_exit_code_tells(
    tmp_path: Path, rows: list[object], code: int
) -> None:
    result = run(write(tmp_path, *rows), "--json")
    told = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == code
    assert told.keys() >= KEYS
    assert told["clean"] is (code == 0)
    assert "rows in" in result.stderr


def test_people_read_the_findings_with_their_rows(tmp_path: Path) -> None:
    result = run(write(tmp_path, ROW, *[ROW] * 20))
    assert "20  duplicate in train" in result.stdout
    assert "rows 2, 3, 4" in result.stdout
    assert "and 8 more (the first is the same as train:1)" in result.stdout
    assert result.stderr == ""


def test_a_student_measures_the_rows_in_its_own_tokens(tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")  # a token a byte
    data = write(tmp_path, ROW, {"messages": [{"role": "user", "content": "long " * 50}]})
    told = json.loads(run(data, "--student", student, "--max-seq-length", 150, "--json").stdout.splitlines()[-1])
    assert [(found["kind"], found["rows"]) for found in told["findings"] if found["kind"] == "over_length"] == [
        ("over_length", [2])
    ]
