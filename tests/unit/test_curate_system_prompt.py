"""curate --system-prompt: the system line of every row."""

import json
from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import JsonObject, Trajectory
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import SYSTEM, from_memory, looked_up
from worker.curate.options import Format, Options
from worker.curate.pipeline import curate

PUNIE = "You are Punie, an AI coding assistant that helps with Python development via PyCharm."


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def sample(system_prompt: str) -> list[Trajectory]:
    looked = [looked_up(number, system_prompt=system_prompt) for number in range(8)]
    return [*looked, *(from_memory(number, system_prompt=system_prompt) for number in range(4))]


def rows(out: Path) -> list[JsonObject]:
    files = (out / f"{split}.jsonl" for split in ("train", "valid", "test"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def given(read: list[Trajectory], out: Path, student: Path, format_: Format) -> list[JsonObject]:
    """The rows of a dataset made with the system prompt."""
    curate(read, out=out, options=Options(format=format_, system_prompt=PUNIE), student=student)
    return rows(out)


@pytest.mark.parametrize("recorded", ["", SYSTEM, PUNIE])
def test_seed_text_has_it_in_every_row(recorded: str, tmp_path: Path, student: Path) -> None:
    written = given(sample(recorded), tmp_path / "out", student, "seed-text")
    assert len(written) == 12
    assert all(str(row["text"]).startswith(f"<|im_start|>system\n{PUNIE}<|im_end|>\n") for row in written)


@pytest.mark.parametrize("recorded", ["", PUNIE])
def test_text_and_turns_have_it_where_the_record_has_no_other(recorded: str, tmp_path: Path, student: Path) -> None:
    texts = given(sample(recorded), tmp_path / "text", student, "text")
    assert all(PUNIE in str(row["text"]) for row in texts)
    turns = given(sample(recorded), tmp_path / "turns", student, "turns")
    assert all(row["messages"][0] == {"role": "system", "content": PUNIE} for row in turns)  # type: ignore[index,call-overload]


@pytest.mark.parametrize("format_", ["text", "turns"])
def test_text_and_turns_refuse_a_record_with_another(format_: Format, tmp_path: Path, student: Path) -> None:
    read = [*sample(""), looked_up(50)]
    with pytest.raises(UsageError, match="job '000050-aaaaaaaa' was recorded with the system prompt 'You answer"):
        given(read, tmp_path / "out", student, format_)
    assert not (tmp_path / "out").exists()


def test_the_dataset_names_it(tmp_path: Path, student: Path) -> None:
    given(sample(""), tmp_path / "out", student, "seed-text")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["options"]["system_prompt"] == PUNIE


def test_the_rows_are_those_of_records_that_were_asked_with_it(tmp_path: Path, student: Path) -> None:
    assert given(sample(""), tmp_path / "out", student, "text") == given(
        sample(PUNIE), tmp_path / "other", student, "text"
    )
