"""curate --system-prompt: the system line of every row."""

import json
from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import JsonObject, Provenance, Trajectory
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import SYSTEM, from_memory, looked_up
from worker.curate.options import Format, Options
from worker.curate.pipeline import curate

PUNIE = "You are Punie, an AI coding assistant that helps with Python development via PyCharm."


HERE = {"teacher": "t", "endpoint": "e", "worker": "w", "applejack_version": "0", "toolset_digest": "d"}
OTHER = "Be rude."


def prompted(number: int, system: str, **fields: object) -> Trajectory:
    return looked_up(number, system_prompt=system, **fields)


def rejected(sample: list[Trajectory], tmp_path: Path) -> dict[int, list[str]]:
    """Rejected trajectories by number, with the details of their findings."""
    done = curate(sample, out=tmp_path / "out", options=Options(format="seed-text"), student=None)
    return {int(v.job_id[:6]): [f.detail for f in v.findings] for v in done.verdicts() if not v.kept}


def test_another_system_prompt_inside_a_run_is_malformed(tmp_path: Path) -> None:
    """Fails without reject_other_systems: the student would learn one prompt's habits under another's."""
    run = [prompted(number, OTHER if number == 3 else SYSTEM) for number in range(5)]
    other_run = [prompted(number, OTHER, run_id="second") for number in (10, 11)]  # another run may differ
    assert rejected([*run, *other_run], tmp_path) == {
        3: [f"the system prompt is {OTHER!r}, but most of run 'run' have {SYSTEM!r}"]
    }
    assert rejected([*run[:3], prompted(3, "")], tmp_path) == {}  # not recorded, as in many seed records
    removed = prompted(3, "", provenance=Provenance.model_validate(HERE))
    assert rejected([*run[:3], removed], tmp_path) == {
        3: [f"the system prompt is '', but most of run 'run' have {SYSTEM!r}"]
    }


def test_a_run_without_a_most_common_system_prompt(tmp_path: Path) -> None:
    """In a tie none is known to be the run's; a set made elsewhere may vary its prompts."""
    tied = [prompted(number, f"{SYSTEM} {number % 2}") for number in range(4)]
    assert rejected(tied, tmp_path) == {}
    recorded = [one.model_copy(update={"provenance": Provenance.model_validate(HERE)}) for one in tied]
    found = rejected(recorded, tmp_path)
    assert list(found) == [0, 1, 2, 3]
    assert found[0] == [f"the system prompt is '{SYSTEM} 0', but run 'run' has 2 and none is the most common"]
    assert rejected(recorded[:1], tmp_path) == {}
    replaced = curate(
        recorded, out=tmp_path / "out", options=Options(format="seed-text", system_prompt=SYSTEM), student=None
    )
    assert replaced.summary.kept == 4  # --system-prompt gives all of them one


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
