"""A cancelled stage stops, is not recorded as failed, stores nothing, and starts anew when its run is resumed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import TrainingError
from config.ledger import Ledger
from config.records import JsonObject, Message, Prompt, Spec, StageState, Trajectory
from config.settings import Settings
from config.topology import Stage
from tests.support.fleet import until
from worker.fleet.leases import Leases
from worker.stage_runner import StageRunner
from worker.stages.context import StageContext
from worker.stages.work import WORK

SPEC = Spec(run_id="r", dataset_format="seed-text", train=False)


@pytest.fixture
def stages(ledger: Ledger, redis_url: SecretStr, tmp_path: Path) -> StageRunner:
    """A worker's stages, of a run whose two jobs are generated."""
    for number, job_id in enumerate(ledger.create(SPEC, [Prompt(prompt="q0"), Prompt(prompt="q1")]).job_ids):
        said = (Message(role="user", content=f"q{number}"), Message(role="assistant", content="a"))
        made = Trajectory(
            run_id="r", job_id=job_id, prompt=f"q{number}", requires_tools=False, messages=said, outcome="completed",
            finish_reasons=("stop",),
        )  # fmt: skip
        ledger.jobs.finish(made, worker="w")
    settings = Settings(redis_url=redis_url, dir=tmp_path)
    return StageRunner(ledger, Leases(ledger.fleet, lease_seconds=20), settings, "w")


def seen(ledger: Ledger) -> tuple[StageState, str, list[str]]:
    view = ledger.stages.view("r", Stage.CURATE)
    return view.state, view.error, [event.event for event in view.history]


def test_a_cancelled_stage_does_not_fail(stages: StageRunner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where StageRunner finishes a stage with an error although its lease is lost, once the run is resumed."""

    def work(context: StageContext) -> JsonObject:
        ledger.controls.cancel("r")
        ledger.controls.resume(SPEC)  # at once: its token is invalid all the same
        stages.leases.renew()  # as the heartbeat does
        until(context.lease.cancelled, "told", seconds=2)
        raise TrainingError("training was cancelled")

    with monkeypatch.context() as planted:
        planted.setitem(WORK, Stage.CURATE, work)
        stages.run("r", Stage.CURATE)
    assert seen(ledger) == (StageState.READY, "", ["started", "cancelled"])
    stages.run("r", Stage.CURATE)
    assert seen(ledger)[2] == ["started", "cancelled", "started", "done"]


def test_a_cancelled_curation_stores_nothing(
    stages: StageRunner, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `progress` and require_wanted in curate_run."""
    read = ledger.jobs.trajectories
    taken: list[str] = []

    def trajectories(run_id: str) -> Iterator[Trajectory]:
        for trajectory in read(run_id):
            taken.append(trajectory.job_id)
            yield trajectory
            ledger.controls.cancel("r")
            stages.leases.renew()

    with monkeypatch.context() as planted:
        planted.setattr(ledger.jobs, "trajectories", trajectories)
        began = time.monotonic()
        stages.run("r", Stage.CURATE)
    assert time.monotonic() - began < 30
    assert len(taken) == 2  # the second is read, and not curated
    assert (ledger.verdicts("r"), ledger.files.has("r", "dataset")) == ({}, False)
    assert seen(ledger) == (StageState.READY, "", ["started", "cancelled"])
    ledger.controls.resume(SPEC)
    stages.run("r", Stage.CURATE)
    assert len(ledger.verdicts("r")) == 2
    assert ledger.files.has("r", "dataset")


def test_a_paused_worker_leaves_a_stage_that_was_delivered_before(stages: StageRunner, ledger: Ledger) -> None:
    """Fails without `paused` in StageRunner.run."""
    stages.paused = lambda: "paused by a person"
    stages.run("r", Stage.CURATE)
    assert seen(ledger) == (StageState.READY, "", [])
