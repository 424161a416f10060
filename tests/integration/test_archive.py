"""A run moved out of the ledger, and what must not be moved."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import StoreError, UsageError
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Prompt, Spec, Trajectory, Verdict
from config.topology import Stage
from producer.archive import archive, require_whole


@pytest.fixture
def ledger(redis_url: SecretStr) -> Ledger:
    return Ledger.connect(redis_url.get_secret_value())


def ended_run(ledger: Ledger, run_id: str) -> tuple[str, ...]:
    spec = Spec(run_id=run_id, train=False)
    ids = ledger.create(spec, [Prompt(prompt=f"q{number}") for number in range(3)]).job_ids
    for attempt in (1, 2):
        for job_id in ids if attempt == 1 else ids[:1]:
            ledger.jobs.begin(run_id, job_id, worker="w", lease_seconds=9, delivery_limit=3)
            told = Trajectory(run_id=run_id, job_id=job_id, attempt=attempt, prompt="q", outcome="completed")
            ledger.jobs.finish(told, worker="w")
        if attempt == 1:
            ledger.jobs.resubmit(run_id, ids[:1], train=False, evaluate=False)
    claim = ledger.stages.begin(run_id, Stage.CURATE, worker="w", lease_seconds=9)
    assert isinstance(claim, StageClaim)
    ledger.set_verdicts(run_id, [Verdict(job_id=job_id) for job_id in ids])
    ledger.stages.finish(claim, result={"kept": 3})
    return ids


def test_an_ended_run_leaves_the_ledger_whole_and_alone(ledger: Ledger, tmp_path: Path) -> None:
    ended_run(ledger, "r")
    ended_run(ledger, "r2")  # its keys begin alike
    counts = archive(ledger, "r", tmp_path / "out", keep=False)
    assert counts == {"jobs": 3, "trajectories": 4, "verdicts": 3}  # the first attempt of the resubmitted job too
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "prompts.jsonl", "spec.json", "stages.json", "trajectories.jsonl", "verdicts.jsonl"
    ]  # fmt: skip
    assert ledger.run_ids() == ["r2"]
    assert not list(ledger._redis.scan_iter(match="applejack:run:r:*"))
    assert len(list(ledger.jobs.trajectories("r2"))) == 3


def test_a_kept_run_stays(ledger: Ledger, tmp_path: Path) -> None:
    ended_run(ledger, "r")
    archive(ledger, "r", tmp_path / "out", keep=True)
    assert ledger.run_ids() == ["r"]


def test_a_run_that_goes_on_is_not_archived(ledger: Ledger, tmp_path: Path) -> None:
    ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="q")])
    with pytest.raises(UsageError, match="still in 'generate'"):
        archive(ledger, "r", tmp_path / "out", keep=False)
    assert not (tmp_path / "out").exists()


def test_an_archive_that_does_not_read_back_removes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    ended_run(ledger, "r")
    archive(ledger, "r", tmp_path / "out", keep=True)
    lines = (tmp_path / "out" / "trajectories.jsonl").read_text().splitlines()
    (tmp_path / "out" / "trajectories.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(StoreError, match="nothing was removed"):
        require_whole(tmp_path / "out", trajectories=4, jobs=3)
