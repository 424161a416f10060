"""A run in a storm ends as it ends in calm weather: nothing lost, nothing doubled, the same dataset byte for byte.

`python -m benchmarks.chaos` is the large one.
"""

import shutil
from pathlib import Path

import pytest

from producer.mining.mine import mine
from tests.support.chaos.faults import Kind, schedule
from tests.support.chaos.fleet import fleet
from tests.support.chaos.storm import CALM, STORM, damage, submit, trace, weather
from tests.support.tiny_student import make_tiny_student

CODE = Path(__file__).resolve().parents[2] / "config"
JOBS = 80
FAULTS = 22
SEED = 4


@pytest.mark.timeout(300)
def test_a_storm_leaves_no_trace(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(CODE, workspace, ignore=shutil.ignore_patterns("__pycache__"))
    student = make_tiny_student(tmp_path / "student")
    prompts = mine([workspace], count=JOBS, seed=SEED)
    faults = schedule(SEED, faults=FAULTS, jobs=JOBS)
    with fleet(tmp_path, workers=2) as macs:
        traces = {}
        for run_id, storm in ((CALM, []), (STORM, faults)):
            ledger = submit(macs, run_id, prompts, workspace=workspace, student=student)
            seconds = weather(macs, ledger, run_id, storm, seconds=200)
            traces[run_id] = trace(ledger, run_id, tmp_path, seconds=seconds)
    assert damage(traces[CALM], traces[STORM], JOBS) == []
    assert macs.ended + macs.person.recovery.wrong == []
    assert macs.person.recovery.times
    assert set(macs.done) == set(Kind)
    # by workers whose model server was killed or suspended; the ledger has forgotten most of it
    assert any('"job.released"' in log.read_text() for log in tmp_path.glob("mac*.log"))
    assert macs.done.total() == FAULTS + 1  # and whoever was curating
