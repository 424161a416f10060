"""curate on files, as people and scripts call it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import from_memory, looked_up

ROOT = Path(__file__).parents[2]
SEED = [
    {"query": "Where is Foo?", "tool_calls": [{"tool": "grep", "args": {"pattern": "Foo"}}], "answer": "In foo.py."},
    {
        "query": "Where is Bar?",
        "tool_calls": [{"name": "grep", "args": '{"p": "Bar"}', "result": None}],
        "answer": "x.py",
    },
    {"query": "What is 2 + 2?", "tool_calls": [], "answer": "4", "metadata": {"requires_tools": False}},
    {"query": "Where is Baz?", "tool_calls": [], "answer": "In baz.py."},
]


def command(*given: object) -> subprocess.CompletedProcess[str]:
    asked = [sys.executable, "-m", "worker.cli", "curate", *map(str, given)]
    return subprocess.run(asked, capture_output=True, text=True, cwd=ROOT)


def written(file: Path, records: list[object]) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


@pytest.fixture
def trajectories(tmp_path: Path) -> Path:
    sample = [*map(looked_up, range(20)), *map(from_memory, range(5))]
    return written(tmp_path / "in.jsonl", [one.model_dump(mode="json") for one in sample])


def test_json_ends_stdout_with_the_contracts_keys(trajectories: Path, tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    done = command(trajectories, "--out", tmp_path / "out", "--student", student, "--format", "turns", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["read"], told["kept"], told["rejected"], told["reasons"]) == (25, 25, 0, {})
    assert (told["with_tools"], told["without_tools"]) == (20, 5)
    assert sum(told["splits"].values()) == 45
    assert told["content_hash"] == json.loads((tmp_path / "out" / "dataset.json").read_text())["content_hash"]
    for words in ("without tools", "with tools and real results", "with tools and no results (skipped)", "total"):
        assert words in done.stderr


def test_seed_records_and_broken_lines_are_counted(tmp_path: Path) -> None:
    file = written(tmp_path / "seed.jsonl", list(SEED))
    file.write_text(file.read_text() + '{"query": "torn')
    done = command(file, "--out", tmp_path / "out", "--format", "seed-text", "--json")
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["read"], told["kept"], told["rejected"], told["broken"]) == (4, 1, 3, 1)
    assert told["reasons"] == {"null_result": 2, "tools_required_but_none": 1}
    assert "seed.jsonl:5: " in done.stderr


def test_the_system_prompt_is_that_of_every_row(tmp_path: Path) -> None:
    file = written(tmp_path / "seed.jsonl", SEED[2:3])
    done = command(file, "--out", tmp_path / "out", "--format", "seed-text", "--system-prompt", "You are Punie.")
    assert done.returncode == 0, done.stderr
    (row,) = (tmp_path / "out" / "valid.jsonl").read_text().splitlines()
    assert json.loads(row)["text"].startswith("<|im_start|>system\nYou are Punie.<|im_end|>\n")


def test_a_record_with_another_system_prompt_is_one_line(trajectories: Path, tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    done = command(trajectories, "--out", tmp_path / "out", "--student", student, "--system-prompt", "You are Punie.")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "was recorded with the system prompt" in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_kept_is_exit_1_with_the_reasons_written(tmp_path: Path) -> None:
    done = command(written(tmp_path / "in.jsonl", SEED[:2]), "--out", tmp_path / "out", "--format", "seed-text")
    assert done.returncode == 1
    assert len((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()) == 2


BAD = [
    # what is asked, what the one line says
    (("--student", "nowhere"), "'nowhere' is neither a directory here nor a hub id"),
    (("--student", "org/nowhere"), "the model 'org/nowhere' is not on this machine; run: applejack pull org/nowhere"),
    ((), "add --student MODEL"),
    (("--format", "csv"), "unknown format 'csv'; choose one of text, turns, seed-text, parquet"),
    (("--format", "seed-text", "--mix", "tools=1"), "--mix is 'tools=1'"),
    (("--format", "turns", "--valid-share", "0.5", "--test-share", "0.5"), "leave nothing to train on"),
    (("--format", "seed-text", "--split-by", "moon"), "--split-by is 'moon'"),
    (("--format", "seed-text", "--out", "."), "'.' cannot be replaced"),
    # what its own split leaves without effect
    (("--format", "seed-text", "--split-by", "workspace"), "--split-by is 'workspace', but seed-text has"),
    (("--format", "seed-text", "--seed", "7"), "--seed is 7, but seed-text has"),
    (("--format", "seed-text", "--valid-share", "0.3"), "--valid-share is 0.3, but seed-text has"),
    (("--format", "seed-text", "--system-prompt", " "), "--system-prompt is ' '"),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_bad_input_is_one_line_and_changes_nothing(
    given: tuple[str, ...], said: str, trajectories: Path, tmp_path: Path
) -> None:
    done = command(trajectories, "--out", tmp_path / "out", *given)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = command(tmp_path / "none.jsonl", "--out", tmp_path / "out", "--format", "seed-text")
    assert done.returncode == 2
    assert "none.jsonl' does not exist" in done.stderr


def test_files_without_a_trajectory_cost_no_dataset(trajectories: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command(trajectories, "--out", out, "--format", "seed-text").returncode == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    noise = tmp_path / "noise.jsonl"
    noise.write_bytes(b"\xff\n" * 23)
    done = command(noise, "--out", out, "--format", "seed-text")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"found no trajectory and no seed record in '{noise}'" in done.stderr
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


NO_TRAJECTORY = [
    # what the file holds, what the one line says of it
    (b"", "in.jsonl'"),
    (b"\x00\xff\x96\n" * 23, "in.jsonl:1: not UTF-8"),
    (b'{"prompt": "Where is Foo?"}\n' * 23, "in.jsonl:1: neither a trajectory"),  # prompts that nobody answered
    (b'{"query": "tor', "in.jsonl:1: torn last line"),
]


@pytest.mark.parametrize(("content", "said"), NO_TRAJECTORY, ids=["empty", "binary", "prompts", "torn"])
def test_unusable_input_is_one_line_and_makes_no_folder(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    done = command(file, "--out", tmp_path / "new" / "out", "--format", "seed-text")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == [file]


def test_people_read_stdout_when_no_program_does(tmp_path: Path) -> None:
    done = command(written(tmp_path / "in.jsonl", SEED), "--out", tmp_path / "out", "--format", "seed-text")
    assert "1  without tools" in done.stdout
    assert "content hash" in done.stdout
    assert done.stderr == ""


def test_help_shows_what_a_record_of_the_seed_generator_looks_like() -> None:
    told = " ".join(command("--help").stdout.split())
    for field in ('"query"', '"tool_calls"', '"tool" or "name"', '"args"', '"result"', '"answer"', '"metadata"'):
        assert field in told


def test_an_interrupt_leaves_nothing_half_written(trajectories: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text(trajectories.read_text() * 2000)  # seconds of work
    asked = [sys.executable, "-m", "worker.cli", "curate", many, "--out", tmp_path / "out", "--format", "seed-text"]
    with subprocess.Popen([*map(str, asked)], stderr=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "500 trajectories read\n"  # it is in the middle of them
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("interrupted\n")
    assert {file.name for file in tmp_path.iterdir()} == {"in.jsonl", "many.jsonl"}
