"""A row of a dataset names its job, and a verdict names its rows."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from config.records import JsonObject, Prompt, Trajectory, Verdict
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import from_memory, looked_up
from worker.curate import seed_text
from worker.curate.audit import audit
from worker.curate.options import Format, Options
from worker.curate.pipeline import curate

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def sample() -> list[Trajectory]:
    bad = looked_up(99, messages=looked_up(99).messages[:2])
    return [*map(looked_up, range(20)), *map(from_memory, range(5)), bad]


def rows(file: Path) -> list[JsonObject]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("format_", ["text", "turns"])
def test_every_row_names_the_job_it_came_from(format_: Format, tmp_path: Path, student: Path) -> None:
    out, read = tmp_path / "out", sample()
    curate(read, out=out, options=Options(format=format_), student=student)
    prompts = {trajectory.job_id: trajectory.prompt for trajectory in read}
    for split in SPLITS:
        assert rows(out / f"{split}.jsonl")
        for row in rows(out / f"{split}.jsonl"):
            assert prompts[str(row["job_id"])] in json.dumps(row)


@pytest.mark.parametrize("format_", ["text", "turns", "seed-text"])
def test_every_held_out_prompt_names_the_job_it_came_from(format_: Format, tmp_path: Path, student: Path) -> None:
    out, read = tmp_path / "out", sample()
    curate(read, out=out, options=Options(format=format_), student=student)
    prompts = {trajectory.job_id: trajectory.prompt for trajectory in read}
    held_out = [Prompt.model_validate(row) for row in rows(out / "held_out.jsonl")]
    assert held_out
    assert [prompts[str(prompt.job_id)] for prompt in held_out] == [prompt.prompt for prompt in held_out]


def test_seed_text_keeps_the_bytes_of_its_rows(tmp_path: Path) -> None:
    out = tmp_path / "out"
    curate(sample(), out=out, options=Options(format="seed-text"), student=None)
    written = [line for split in SPLITS for line in (out / f"{split}.jsonl").read_text().splitlines()]
    texts = [seed_text.render(kept, seed_text.system_line(kept)) for kept in sample()[:-1]]
    assert sorted(written) == sorted(json.dumps({"text": text}, ensure_ascii=False) for text in texts)


@pytest.mark.parametrize("format_", ["text", "turns", "seed-text"])
def test_a_verdict_names_the_split_and_the_rows_of_its_job(format_: Format, tmp_path: Path, student: Path) -> None:
    out = tmp_path / "out"
    curated = curate(sample(), out=out, options=Options(format=format_), student=student)
    prompts = {trajectory.job_id: trajectory.prompt for trajectory in sample()}
    named: defaultdict[str, list[int]] = defaultdict(list)
    for verdict in curated.verdicts():
        if not verdict.kept:
            assert (verdict.split, verdict.rows) == (None, ())
            continue
        assert verdict.split is not None
        assert list(verdict.rows) == sorted(verdict.rows)
        written = rows(out / f"{verdict.split}.jsonl")
        assert all(prompts[verdict.job_id] in json.dumps(written[number - 1]) for number in verdict.rows)
        named[verdict.split].extend(verdict.rows)
    for split in SPLITS:  # every row belongs to one job
        assert sorted(named[split]) == list(range(1, len(rows(out / f"{split}.jsonl")) + 1))


def test_a_verdict_written_before_it_named_rows_is_read() -> None:
    old = Verdict.model_validate_json('{"job_id": "000001-aaaaaaaa", "findings": []}')
    assert (old.kept, old.split, old.rows) == (True, None, ())


def test_a_prompts_job_id_is_no_part_of_what_is_asked() -> None:
    plain, held_out = Prompt(prompt="q"), Prompt(prompt="q", job_id="000001-aaaaaaaa")
    assert plain.content_hash == held_out.content_hash
    assert plain.model_dump_json() == held_out.model_dump_json()


@pytest.mark.parametrize("format_", ["text", "turns"])
def test_audit_takes_rows_that_differ_in_job_id_alone_for_copies(
    format_: Format, tmp_path: Path, student: Path
) -> None:
    out = tmp_path / "out"
    curate(sample(), out=out, options=Options(format=format_), student=student)
    before = audit([out]).as_json()
    assert (before["duplicates"], before["leaked_rows"]) == (
        dict.fromkeys(SPLITS, 0),
        dict.fromkeys(("train-valid", "train-test", "valid-test"), 0),
    )
    copied = json.dumps(rows(out / "train.jsonl")[0] | {"job_id": "another"}) + "\n"
    for split in ("train", "valid"):
        with (out / f"{split}.jsonl").open("a", encoding="utf-8") as file:
            file.write(copied)
    after = audit([out]).as_json()
    assert after["duplicates"] == {"train": 1, "valid": 0, "test": 0}
    assert after["leaked_rows"] == {"train-valid": 1, "train-test": 0, "valid-test": 0}
