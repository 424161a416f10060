"""An archive holds every attempt of a job; what reads its trajectories sees the last one."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from config.records import Trajectory
from tests.support.trajectories import looked_up
from worker.cli import verify as verify_command
from worker.cli.review import review
from worker.curate import sources
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.evaluate import recorded

AGAIN = looked_up(1, attempt=2, run_id="r")
FIRST = looked_up(1, attempt=1, run_id="r", seconds=3.0)
OTHER = looked_up(2, run_id="r")


def written(file: Path, *trajectories: Trajectory) -> Path:
    file.write_text("".join(one.model_dump_json() + "\n" for one in trajectories), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "order",
    [
        (FIRST, AGAIN, OTHER),  # as an archive writes them
        (AGAIN, OTHER, FIRST),  # as workers' journals may
    ],
)
def test_the_last_attempt_is_read_in_any_order(tmp_path: Path, order: Sequence[Trajectory]) -> None:
    file = written(tmp_path / "in.jsonl", *order)
    expected = {(AGAIN.job_id, 2), (OTHER.job_id, 1)}
    for found in (sources.read([file]), recorded.read([file])):
        trajectories = [one.trajectory for one in found if one.trajectory]
        assert {(one.job_id, one.attempt) for one in trajectories} == expected
        assert len(trajectories) == 2


def test_attempts_of_two_files_and_two_runs_are_told_apart(tmp_path: Path) -> None:
    elsewhere = looked_up(1, run_id="other")
    files = [written(tmp_path / "a.jsonl", FIRST, elsewhere), written(tmp_path / "b.jsonl", AGAIN)]
    read = [one.trajectory for one in sources.read(files) if one.trajectory]
    assert [(one.run_id, one.attempt) for one in read] == [("other", 1), ("r", 2)]


def test_the_text_of_a_conversation_is_not_taken_for_an_attempt(tmp_path: Path) -> None:
    quoted = looked_up(1, run_id="r", system_prompt='{"attempt": 7}')
    file = written(tmp_path / "in.jsonl", quoted, OTHER)
    (tmp_path / "broken.jsonl").write_text('{"attempt": 9, \n["attempt": 3]\n')
    assert sources.last_attempts([file, tmp_path / "broken.jsonl"]) == {}


def test_a_dataset_of_an_archive_is_reviewed_without_superseded_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each planted attempt was once shown as kept: the rejected list names a job, not an attempt."""
    failed = [
        Trajectory(run_id="r", job_id=f"00000{n}-aaaaaaaa", attempt=n, prompt="q", outcome="failed") for n in (1, 2)
    ]
    twice = [failed[0], failed[1].model_copy(update={"job_id": failed[0].job_id})]
    archived = written(tmp_path / "trajectories.jsonl", *twice, FIRST.model_copy(update={"job_id": "9"}), OTHER)
    current = [twice[1], FIRST.model_copy(update={"job_id": "9"}), OTHER]
    curate(current, out=tmp_path / "dataset", options=Options(format="seed-text"), student=None)
    manifest = json.loads((tmp_path / "dataset" / "dataset.json").read_text())
    review(tmp_path / "dataset", [archived], tmp_path / "page.html", as_json=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["kept"], told["rejected"], told["not_found"]) == (manifest["kept"], manifest["rejected"], 0)


def test_an_attempt_after_the_dataset_is_not_shown_with_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curate([FIRST, OTHER], out=tmp_path / "dataset", options=Options(format="seed-text"), student=None)
    later = looked_up(7, attempt=2, run_id="r", job_id=FIRST.job_id)  # ran again, with another answer
    archived = written(tmp_path / "trajectories.jsonl", FIRST, later, OTHER)
    review(tmp_path / "dataset", [archived], tmp_path / "page.html", as_json=True)
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["kept"] == 1
    assert "not shown, because this dataset was not curated from them: 1" in told.err


def test_verify_replays_the_last_attempt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "in.jsonl", FIRST, AGAIN, OTHER)
    with pytest.raises(typer.Exit):  # exit code 1: no provenance, so nothing can be replayed
        verify_command.verify([file], as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["trajectories"] == 2
