"""curate and verify execute recorded calls again: what they keep, count, print and return."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import JsonObject, Prompt, Spec, Trajectory
from tests.support.recorded_code import asked_about, git, two_commits
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import looked_up
from worker.tools.workspace import open_workspace

ROOT = Path(__file__).parents[2]
PRODUCER = ("-c", "from producer.cli import main; main()")


def command(folder: Path, *given: object, url: str = "") -> subprocess.CompletedProcess[str]:
    """`applejack` with its data in a folder."""
    env = {**os.environ, "APPLEJACK_DIR": str(folder / "data"), "APPLEJACK_REDIS_URL": url, "PYTHONPATH": str(ROOT)}
    if not url:
        del env["APPLEJACK_REDIS_URL"]
    return subprocess.run(
        [sys.executable, *PRODUCER, *map(str, given)], capture_output=True, text=True, env=env, cwd=folder
    )


def written(file: Path, given: list[Trajectory]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(one.model_dump_json() + "\n" for one in given))
    return file


def last_json(done: subprocess.CompletedProcess[str]) -> JsonObject:
    body = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(body, dict)
    return body


def restated(trajectory: Trajectory, **fields: object) -> Trajectory:
    """The trajectory with other fields of its pin."""
    body = trajectory.model_dump(mode="json")
    body["provenance"]["workspace"] |= fields
    return Trajectory.model_validate(body)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return two_commits(tmp_path / "repo")


@pytest.fixture
def sound(repository: Path, tmp_path: Path) -> list[Trajectory]:
    """Thirty trajectories at the second commit."""
    workspace = open_workspace(f"{repository}@second", cache=tmp_path / "made")
    return [asked_about(workspace, number) for number in range(30)]


@pytest.fixture
def stale(repository: Path, tmp_path: Path) -> list[Trajectory]:
    """Three with results of the first commit that say they read the second."""
    first = open_workspace(f"{repository}@first", cache=tmp_path / "made")
    second = git(repository, "rev-parse", "second")
    return [restated(asked_about(first, number), commit=second) for number in (30, 31, 32)]


def test_curate_rejects_stale_results_and_counts_what_it_cannot_replay(
    sound: list[Trajectory], stale: list[Trajectory], tmp_path: Path
) -> None:
    gone = [restated(sound[0].model_copy(update={"job_id": "000090-a"}), origin="/nowhere")]
    given = written(tmp_path / "in.jsonl", [*sound, *stale, *gone, looked_up(50)])
    student = make_tiny_student(tmp_path / "student")
    curate = ("curate", given, "--student", student, "--max-seq-length", 8192)
    done = command(tmp_path, *curate, "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    told = last_json(done)
    counts = {"calls": 33, "matched": 30, "differing": 3, "not_replayed": {"no_provenance": 1, "unreachable": 1}}
    assert told["replayed"] == counts
    assert told["reasons"] == {"replay_mismatch": 3}
    assert (
        "33 calls executed again, 30 match, 3 differ; trajectories not replayed: no_provenance 1, unreachable 1"
        in done.stderr
    )
    rejected = [json.loads(line) for line in (tmp_path / "out/rejected.jsonl").read_text().splitlines()]
    (detail,) = next(one["detail"] for one in rejected if one["job_id"] == stale[0].job_id)
    assert "'pkg/part30.py:1: class Widget30(Base):'" in detail["detail"]
    assert "'pkg/part30.py:2: class Widget30(Base):'" in detail["detail"]
    assert json.loads((tmp_path / "out/dataset.json").read_text())["replayed"] == counts
    card = (tmp_path / "out/README.md").read_text()
    assert "30 of 33 executed tool calls returned the recorded result" in card
    assert "no_provenance 1, unreachable 1" in card

    off = last_json(command(tmp_path, *curate, "--out", "off", "--no-replay", "--json"))
    assert off["replayed"] is None
    assert off["reasons"] == {}
    assert "Replay: off" in (tmp_path / "off/README.md").read_text()


def test_sound_rows_are_the_same_bytes_where_nothing_can_be_replayed(
    sound: list[Trajectory], repository: Path, tmp_path: Path
) -> None:
    given = written(tmp_path / "in.jsonl", sound)
    student = make_tiny_student(tmp_path / "student")
    curate = ("curate", given, "--student", student, "--format", "turns", "--max-seq-length", 8192, "--json", "--out")
    here = last_json(command(tmp_path, *curate, "here"))
    shutil.rmtree(repository)
    elsewhere = last_json(command(tmp_path, *curate, "elsewhere"))
    assert (here["replayed"], elsewhere["replayed"]) == (
        {"calls": 30, "matched": 30, "differing": 0, "not_replayed": {}},
        {"calls": 0, "matched": 0, "differing": 0, "not_replayed": {"unreachable": 30}},
    )
    assert here["kept"] == 30
    assert here["content_hash"] == elsewhere["content_hash"]
    for name in ("train.jsonl", "valid.jsonl", "test.jsonl", "held_out.jsonl", "rejected.jsonl"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()


def test_verify_prints_both_texts_and_exits_with_1_where_some_differ(
    sound: list[Trajectory], stale: list[Trajectory], tmp_path: Path
) -> None:
    right, wrong = written(tmp_path / "right.jsonl", sound), written(tmp_path / "wrong.jsonl", stale)
    done = command(tmp_path, "verify", right, "--json")
    assert done.returncode == 0, done.stderr
    assert last_json(done) | {"calls": 30, "matched": 30, "differing": 0, "not_replayed": {}} == last_json(done)
    done = command(tmp_path, "verify", right, wrong)
    assert done.returncode == 1
    assert '000030-aaaaaaaa: grep {"pattern": "class Widget30\\\\b"}' in done.stdout
    assert "recorded: 'pkg/part30.py:1: class Widget30(Base):'" in done.stdout
    assert "replayed: 'pkg/part30.py:2: class Widget30(Base):'" in done.stdout
    done = command(tmp_path, "verify", written(tmp_path / "none.jsonl", [looked_up(1)]))
    assert done.returncode == 1  # nothing was verified
    assert "they do not record which code was read (no_provenance)" in done.stdout


def test_verify_finds_the_trajectories_of_a_run_an_archive_and_a_dataset(
    sound: list[Trajectory], stale: list[Trajectory], tmp_path: Path, ledger: Ledger, redis_url: SecretStr
) -> None:
    url = redis_url.get_secret_value()
    ids = ledger.create(Spec(run_id="run", train=False), [Prompt(prompt=f"q{number}") for number in range(3)]).job_ids
    refused = command(tmp_path, "verify", "run", url=url)
    assert refused.returncode == 2
    assert "no trajectories yet" in refused.stderr
    for job_id, one in zip(ids, [*sound[:2], stale[0]], strict=True):
        ledger.jobs.begin("run", job_id, worker="w", lease_seconds=9, delivery_limit=3)
        ledger.jobs.finish(one.model_copy(update={"run_id": "run", "job_id": job_id}), worker="w")
    done = command(tmp_path, "verify", "run", "--json", url=url)
    assert done.returncode == 1
    assert (last_json(done)["matched"], last_json(done)["differing"]) == (2, 1)

    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "dataset.json").write_text(json.dumps({"source_run": "run"}))
    assert last_json(command(tmp_path, "verify", "dataset", "--json", url=url))["calls"] == 3
    archived = written(tmp_path / "data/archive/old/trajectories.jsonl", sound[:5]).parent
    shutil.copytree(dataset, archived / "dataset")
    for target in ("old", archived, archived / "dataset"):
        assert last_json(command(tmp_path, "verify", target, "--json"))["calls"] == 5, target


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing.jsonl", "'missing.jsonl' does not exist"),
        ("missing/folder", "'missing/folder' does not exist"),
        ("nobody", "no stack is running"),
        ("empty", "no trajectories in or beside 'empty'"),
        ("dataset", "Its run 'lost' is not at hand"),
        ("text.jsonl", "found no trajectory"),
    ],
)
def test_verify_refuses_other_input_in_one_line(target: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/dataset.json").write_text('{"source_run": "lost"}')
    (tmp_path / "text.jsonl").write_text("text\n")
    done = command(tmp_path, "verify", target, "--json")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert last_json(done)["exit_code"] == 2
