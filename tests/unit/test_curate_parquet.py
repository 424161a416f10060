"""The parquet copies of a `turns` dataset."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml

from config.errors import UsageError
from config.records import JsonObject
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import from_memory, looked_up
from worker.curate.options import Options
from worker.curate.pipeline import curate

ROOT = Path(__file__).parents[2]
SAMPLE = [*map(looked_up, range(20)), *map(from_memory, range(5))]


def written(out: Path, *, parquet: bool = True) -> Path:
    student = make_tiny_student(out.parent / "student")
    curate(SAMPLE, out=out, options=Options(format="turns", parquet=parquet), student=student)
    return out


def read_back(row: JsonObject) -> JsonObject:
    """A parquet row as its JSONL line has it: JSON text read, the nulls of absent fields taken off."""
    messages = [{key: value for key, value in message.items() if value is not None} for message in row["messages"]]
    for call in (call for message in messages for call in message.get("tool_calls", [])):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    tools = {} if row["tools"] is None else {"tools": json.loads(row["tools"])}
    return {"messages": messages, **tools, "job_id": row["job_id"]}


def test_each_file_holds_the_rows_of_its_jsonl(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    for split in ("train", "valid", "test"):
        rows = pyarrow.parquet.read_table(out / f"{split}.parquet").to_pylist()
        lines = (out / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [read_back(row) for row in rows] == [json.loads(line) for line in lines]
        assert rows


def test_the_bytes_are_the_same_again_and_the_jsonl_that_of_turns(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name / "out") for name in "ab")
    plain = written(tmp_path / "c" / "out", parquet=False)
    for split in ("train", "valid", "test"):
        assert (first / f"{split}.parquet").read_bytes() == (second / f"{split}.parquet").read_bytes()
        assert (first / f"{split}.jsonl").read_bytes() == (plain / f"{split}.jsonl").read_bytes()
    assert not list(plain.glob("*.parquet"))


def test_the_card_sends_hubs_to_the_parquet_files(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    header = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    files = {file["split"]: file["path"] for file in header["configs"][0]["data_files"]}
    assert files == {"train": "train.parquet", "validation": "valid.parquet", "test": "test.parquet"}


def test_without_pyarrow_the_extra_is_named_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # what Python takes for "not installed"
    with pytest.raises(UsageError, match=r"applejack\[parquet\]"):
        written(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_writes_both_forms(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("".join(one.model_dump_json() + "\n" for one in SAMPLE))
    student = make_tiny_student(tmp_path / "student")
    asked = [sys.executable, "-m", "worker.cli", "curate", file, "--out", tmp_path / "out", "--student", student]
    done = subprocess.run([*map(str, asked), "--format", "parquet"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"train.jsonl", "train.parquet", "valid.jsonl", "valid.parquet"} <= names
