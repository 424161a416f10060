import json
from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import Trajectory
from worker.curate import jsonlines, sources
from worker.curate.sources import read

SEED = {"query": "Where is main?", "tool_calls": [], "answer": "In cli.py."}
TRAJECTORY = {"run_id": "r", "job_id": "j", "prompt": "q", "outcome": "completed"}


def write(file: Path, *lines: object, end: str = "\n") -> Path:
    file.write_bytes(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode() + end.encode()
    )
    return file


def test_trajectories_and_seed_records_may_be_mixed(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", TRAJECTORY, SEED)
    second = write(tmp_path / "b.jsonl", SEED, TRAJECTORY | {"later_field": 1})
    rows = list(read([first, second]))
    assert [(row.file.name, row.line) for row in rows] == [
        ("a.jsonl", 1),
        ("a.jsonl", 2),
        ("b.jsonl", 1),
        ("b.jsonl", 2),
    ]
    assert [row.trajectory.run_id for row in rows if row.trajectory] == ["r", "a", "b", "r"]
    assert rows[3].trajectory is not None
    assert rows[3].trajectory.model_extra == {"later_field": 1}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"query": ', "not JSON: Expecting value, column 11"),
        (b'{"query": "caf\xe9"}', "not UTF-8: byte 0xe9 at column 15"),
        (b"[1]", "not a JSON object: '[1]'"),
        (b'{"prompt": "x"}', "neither a trajectory"),
        (b'{"query": "x", "n": NaN}', "NaN is not a JSON number"),
        (b'{"query": "x", "n": 1e999}', "'1e999' is too large"),
        (b'{"query": "\\ud800"}', "half of a surrogate pair"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"query": "x", "n": ' + b"[" * 150 + b"]" * 150 + b"}", "nested too deeply"),  # readable, not writable
        (b'{"query": 3}', "query is 3"),
        (b'{"outcome": "completed"}', "run_id: Field required"),
        (json.dumps(TRAJECTORY | {"outcome": "lost"}).encode(), "not 'lost'"),
        (json.dumps(TRAJECTORY | {"schema_version": 2}).encode(), "schema_version"),  # written by a later version
        (b'{"query": "' + b"9" * 70_000_000 + b'"}', "longer than 64 MB"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_broken_line_is_told_and_the_rest_is_read(tmp_path: Path, line: bytes, problem: str) -> None:
    file = tmp_path / "in.jsonl"
    good = json.dumps(SEED).encode()
    file.write_bytes(good + b"\n" + line + b"\n" + good + b"\n")
    rows = list(read([file]))
    assert [row.line for row in rows] == [1, 2, 3]
    assert [row.trajectory is not None for row in rows] == [True, False, True]
    assert problem in (rows[1].problem or "")
    assert "torn" not in (rows[1].problem or "")
    assert rows[1].where == f"{file}:2"


def test_a_torn_last_line_is_told_as_such(tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", SEED, json.dumps(SEED)[:-5], end="")
    rows = list(read([file]))
    assert rows[0].trajectory is not None
    assert (rows[1].problem or "").startswith("torn last line: not JSON")


def test_a_whole_last_line_needs_no_line_ending(tmp_path: Path) -> None:
    assert [row.problem for row in read([write(tmp_path / "in.jsonl", SEED, end="")])] == [None]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + json.dumps(SEED) + "\n",  # a byte order mark
        json.dumps(SEED) + "\r\n",  # Windows line endings
        "\n  \n" + json.dumps(SEED) + "\n\n",  # blank lines
    ],
)
def test_foreign_line_habits_are_read(tmp_path: Path, content: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(content, encoding="utf-8", newline="")
    assert [row.problem for row in read([file])] == [None]


def test_a_system_message_in_front_becomes_the_system_prompt(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
    (row,) = read([write(tmp_path / "in.jsonl", TRAJECTORY | {"messages": messages})])
    assert row.trajectory is not None
    assert row.trajectory.system_prompt == "Be brief."
    assert [message.role for message in row.trajectory.messages] == ["user"]


@pytest.mark.parametrize("name", ["missing.jsonl", "."])  # no file; a directory
def test_a_path_that_is_no_file_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    good = write(tmp_path / "in.jsonl", SEED)
    with pytest.raises(UsageError, match=repr(str(tmp_path / name))):
        read([good, tmp_path / name])  # not iterated on purpose


def test_an_overlong_line_is_passed_over_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "MAX_LINE", 100)
    monkeypatch.setattr(sources, "MAX_LINE", 100)
    sizes = (98, 99, 100, 101, 102, 103, 205, 1000)  # about the limit and over several pieces
    for size in sizes:
        file = write(tmp_path / "in.jsonl", SEED, "x" * size, SEED)
        rows = list(read([file]))
        assert [row.line for row in rows] == [1, 2, 3], size
        assert ("longer than" in (rows[1].problem or "")) is (size > 100)


def test_what_was_read_can_be_written_and_read_again(tmp_path: Path) -> None:
    (row,) = read([write(tmp_path / "in.jsonl", SEED | {"note": "é\ud83d\ude00"})])
    assert row.trajectory is not None
    assert Trajectory.model_validate_json(row.trajectory.model_dump_json()) == row.trajectory
