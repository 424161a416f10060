"""A run moved out of the ledger, and what must not be moved."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import StoreError, UsageError
from config.ledger import Ledger
from config.records import Prompt, Spec, Trajectory
from producer.archive import archive, require_whole
from tests.support.ended_run import ended_run


@pytest.fixture
def ledger(redis_url: SecretStr) -> Ledger:
    return Ledger.connect(redis_url.get_secret_value())


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
        require_whole(tmp_path / "out", trajectories=4, jobs=set(ledger.jobs.ids("r")))


def cancelled_run(ledger: Ledger) -> tuple[str, ...]:
    ids = ledger.create(Spec(run_id="r", train=False), [Prompt(prompt=f"q{number}") for number in range(3)]).job_ids
    ledger.jobs.finish(Trajectory(run_id="r", job_id=ids[0], prompt="q", outcome="completed"), worker="w")
    ledger.controls.cancel("r")
    return ids


def test_a_cancelled_run_is_archived_with_what_it_has(ledger: Ledger, tmp_path: Path) -> None:
    ids = cancelled_run(ledger)
    assert archive(ledger, "r", tmp_path / "out", keep=False) == {"jobs": 3, "trajectories": 1, "verdicts": 0}
    assert ledger.run_ids() == []
    with pytest.raises(StoreError, match="nothing was removed"):  # a finished job is still missed
        require_whole(tmp_path / "out", trajectories=1, jobs={ids[1]})


def test_a_run_that_is_resumed_while_it_is_archived_stays(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the second look in `archive`: jobs that run would lose their run."""
    cancelled_run(ledger)

    def resumed(*_: object, **__: object) -> None:
        ledger.controls.resume(Spec(run_id="r", train=False))

    monkeypatch.setattr("producer.archive.require_whole", resumed)
    with pytest.raises(StoreError, match="went on meanwhile"):
        archive(ledger, "r", tmp_path / "out", keep=False)
    assert ledger.run_ids() == ["r"]
