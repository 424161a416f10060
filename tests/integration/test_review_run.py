"""`applejack review` and `precision` of a run in the ledger."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from tests.support.ended_run import ended_run
from tests.support.marked import marked
from tests.support.trajectories import looked_up
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.curate.review.examples import read_examples
from worker.curate.review.marks import save_mark

ROOT = Path(__file__).parents[2]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def applejack(redis_url: SecretStr, tmp_path: Path) -> Command:
    """Runs the command as a process: it replaces itself with the worker's command line."""
    env = {**os.environ, "APPLEJACK_REDIS_URL": redis_url.get_secret_value(), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", "from producer.cli import main; main()"]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*program, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)

    return run


def result_of(done: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    """The JSON object of a command that succeeded."""
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def curated_run(ledger: Ledger, folder: Path) -> None:
    """A run of three jobs without messages, with a dataset of them and two sound ones."""
    ended_run(ledger, "r")
    sample = [*ledger.jobs.trajectories("r"), looked_up(1), looked_up(2)]
    curate(sample, out=folder / "source", options=Options(format="seed-text"), student=None)
    ledger.files.put("r", "dataset", folder / "source")


def test_the_page_of_a_run_has_the_ledgers_verdicts(applejack: Command, ledger: Ledger, tmp_path: Path) -> None:
    curated_run(ledger, tmp_path)
    told = result_of(applejack("review", "--dir", "d", "r", "--json"))
    assert told["page"] == str(Path("d") / "runs" / "r" / "review.html")
    assert (tmp_path / str(told["page"])).is_file()
    assert (told["kept"], told["rejected"], told["not_found"]) == (3, 0, 0)  # of its own jobs


def test_a_run_is_marked_and_measured_by_its_id(applejack: Command, ledger: Ledger, tmp_path: Path) -> None:
    curated_run(ledger, tmp_path)
    ledger.jobs.resubmit("r", ledger.jobs.ids("r")[:1], train=False, evaluate=False)
    assert applejack("fetch", "r", "--dir", "d").returncode == 0
    place = tmp_path / "d" / "runs" / "r"
    for one in read_examples(place / "dataset"):
        save_mark(place / "dataset.marks.jsonl", marked(one, "right" if one.kept else "wrong"))
    done = applejack("precision", "r", "--dir=d", "--json")
    assert result_of(done)["marked"] == 5
    assert "the dataset is of version 2; the run is at version 3" in done.stderr
    assert not (place / "trajectories.jsonl").exists()  # precision needs none
    assert "review" in json.loads((place / "dataset" / "dataset.json").read_text())
    assert applejack("fetch", "r", "--dir", "d").returncode == 0  # the figures do not stand in the way of a fetch
    assert len((place / "dataset.marks.jsonl").read_text().splitlines()) == 5


def test_what_is_neither_a_directory_nor_a_run_is_refused(applejack: Command, ledger: Ledger, tmp_path: Path) -> None:
    refused = applejack("review", "nothing", "--dir", "d")
    assert refused.returncode == 2
    assert "'nothing' is neither a directory nor a run that can be read" in refused.stderr
    assert not (tmp_path / "d" / "runs").exists()
    ended_run(ledger, "r")
    refused = applejack("precision", "r", "--dir", "d")
    assert refused.returncode == 2
    assert "run 'r' has no dataset yet" in refused.stderr
