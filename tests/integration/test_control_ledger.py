"""Pausing, cancelling and resuming in the ledger, on a real Redis: atomic, repeatable, and nothing made is lost."""

import pytest

from config.errors import FailureKind, StoreError, UsageError
from config.ledger import Ledger
from config.ledger.control import Cancelled
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import Claim
from config.ledger.stages import StageClaim, stage_member
from config.records import Failure, JobState, Prompt, RunControl, Spec, StageState, Trajectory, WorkerControl
from config.topology import Stage
from producer.control import control_worker, resume

SPEC = Spec(run_id="r")
PROMPTS = [Prompt(prompt=f"question {number}") for number in range(4)]


@pytest.fixture
def job_ids(ledger: Ledger) -> tuple[str, ...]:
    return ledger.create(SPEC, PROMPTS).job_ids


def begin(ledger: Ledger, job_id: str) -> Claim | str:
    return ledger.jobs.begin("r", job_id, worker="w", lease_seconds=30, delivery_limit=4)


def finish(ledger: Ledger, job_id: str, *, attempt: int = 1, failure: Failure | None = None, token: str = "") -> str:
    outcome = "failed" if failure else "completed"
    made = Trajectory(run_id="r", job_id=job_id, attempt=attempt, prompt="q", outcome=outcome, failure=failure)
    return ledger.jobs.finish(made, worker="w", token=token)


def counts(ledger: Ledger) -> dict[str, int]:
    return {state.value: count for state, count in ledger.jobs.counts("r").items() if count}


def curating(ledger: Ledger) -> StageState:
    return ledger.stages.view("r", Stage.CURATE).state


def test_a_paused_run_ends_what_is_in_flight_and_starts_nothing(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    claim = begin(ledger, job_ids[0])
    assert isinstance(claim, Claim)
    assert [ledger.controls.pause("r"), ledger.controls.pause("r")] == ["paused", "paused"]
    assert ledger.run("r").control is RunControl.PAUSED
    assert begin(ledger, job_ids[1]) == "paused"
    assert finish(ledger, job_ids[0]) == "stored"
    assert ledger.controls.resume(SPEC) == ("resumed", 0)
    assert ledger.controls.resume(SPEC) == ("going", 0)
    assert isinstance(begin(ledger, job_ids[1]), Claim)
    assert [event.event for event in ledger.run("r").history] == ["paused", "resumed"]


def test_cancelling_invalidates_what_is_in_flight(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    finish(ledger, job_ids[0])
    claim = begin(ledger, job_ids[1])
    assert isinstance(claim, Claim)
    assert ledger.controls.cancel("r") == Cancelled(ended=False, jobs=3)
    assert ledger.controls.cancel("r") == Cancelled(ended=False, jobs=0)
    assert counts(ledger) == {"generated": 1, "cancelled": 3}
    held = LeaseRef("r", job_ids[1], claim.token)
    assert ledger.fleet.renew([held], lease_seconds=30) == [held]
    assert begin(ledger, job_ids[2]) == "cancelled"
    late = Failure(kind=FailureKind.TIMEOUT, message="late")
    assert finish(ledger, job_ids[1], failure=late, token=claim.token) == "stale"
    assert ledger.fleet.active_runs() == []


def test_a_trajectory_that_completes_after_the_cancellation_is_kept(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    for job_id in job_ids[:3]:
        finish(ledger, job_id)
    assert isinstance(begin(ledger, job_ids[3]), Claim)
    ledger.controls.cancel("r")
    assert finish(ledger, job_ids[3]) == "stored"  # not "last": a cancelled run does not go on to curation
    assert (counts(ledger), curating(ledger)) == ({"generated": 4}, StageState.WAITING)
    assert ledger.controls.resume(SPEC) == ("resumed", 0)
    assert curating(ledger) is StageState.READY


def test_a_cancelled_run_goes_on_with_its_jobs(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    finish(ledger, job_ids[0])
    ledger.controls.cancel("r")
    bulk = ledger.run("r").bulk
    assert ledger.controls.resume(SPEC) == ("resumed", 3)
    assert counts(ledger) == {"queued": 3, "generated": 1}
    assert (ledger.run("r").bulk, ledger.run("r").version) == (bulk + 1, 1)
    assert ledger.fleet.active_runs() == ["r"]
    assert [finish(ledger, job_id) for job_id in job_ids[1:]][-1] == "last"
    assert curating(ledger) is StageState.READY


def test_a_cancelled_run_is_curated_as_it_is_and_its_jobs_can_still_be_resumed(
    ledger: Ledger, job_ids: tuple[str, ...]
) -> None:
    finish(ledger, job_ids[0])
    ledger.controls.cancel("r")
    assert ledger.controls.resume(SPEC, without_cancelled=True) == ("resumed", 0)
    assert (counts(ledger), curating(ledger)) == ({"generated": 1, "cancelled": 3}, StageState.READY)
    assert begin(ledger, job_ids[1]) == "cancelled"
    assert finish(ledger, job_ids[1]) == "unknown"  # curation may have read the trajectories already
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=30)
    assert isinstance(claim, StageClaim)
    ledger.stages.finish(claim, error="nothing kept")
    assert ledger.controls.resume(SPEC, without_cancelled=True) == ("ended", 0)
    assert ledger.controls.resume(SPEC) == ("resumed", 3)
    assert (ledger.run("r").version, curating(ledger)) == (2, StageState.WAITING)


def test_without_a_finished_job_there_is_nothing_to_curate(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    ledger.controls.cancel("r")
    with pytest.raises(UsageError, match="no finished job to curate"):
        resume(ledger, "r", without_cancelled=True)
    assert counts(ledger) == {"cancelled": 4}


def test_a_cancelled_stage_starts_anew_when_the_run_is_resumed(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    for job_id in job_ids:
        finish(ledger, job_id)
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=30)
    assert isinstance(claim, StageClaim)
    assert ledger.controls.cancel("r") == Cancelled(ended=False, jobs=0)
    held = LeaseRef("r", stage_member(Stage.CURATE), claim.token)
    assert ledger.fleet.renew([held], lease_seconds=30) == [held]
    assert ledger.stages.finish(claim, result={"kept": 4}) == "stale"
    assert ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=30) == "cancelled"
    assert ledger.controls.resume(SPEC) == ("resumed", 0)
    assert isinstance(ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=30), StageClaim)


def test_an_ended_run_can_be_neither_paused_nor_cancelled(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    for job_id in job_ids:
        finish(ledger, job_id)
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=30)
    assert isinstance(claim, StageClaim)
    ledger.stages.finish(claim, error="nothing kept")
    assert (ledger.controls.pause("r"), ledger.controls.cancel("r")) == ("ended", Cancelled(ended=True, jobs=0))
    assert ledger.run("r").control is RunControl.GO


def test_changed_jobs_are_told_once(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    begin(ledger, job_ids[1])
    changed, until = ledger.jobs.changed("r", since=0)
    assert changed == [job_ids[1]]
    assert ledger.jobs.changed("r", since=until) == ([], until)
    finish(ledger, job_ids[1])
    assert ledger.jobs.changed("r", since=until - 0.001)[0] == [job_ids[1]]
    [queued, done] = ledger.jobs.rows("r", job_ids[:2])
    assert (queued.state, queued.worker, queued.finished) == (JobState.QUEUED, "", None)
    assert (done.state, done.worker, done.attempt) == (JobState.GENERATED, "w", 1)


def test_what_is_asked_of_a_worker_outlives_its_process(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="no worker 'mac@one' in the fleet"):
        control_worker(ledger, "mac@one", WorkerControl.PAUSED)
    ledger.fleet.heartbeat("mac@one", {})
    assert control_worker(ledger, "mac@one", WorkerControl.PAUSED) == {"worker": "mac@one", "state": "paused"}
    ledger.fleet.leave("mac@one")
    assert ledger.fleet.control("mac@one") is WorkerControl.PAUSED
    assert control_worker(ledger, "mac@one", WorkerControl.GO)["state"] == "consuming"
    assert ledger.fleet.controls() == {}


def test_a_worker_is_told_apart_whether_its_run_was_cancelled_or_its_lease_expired(
    ledger: Ledger, job_ids: tuple[str, ...]
) -> None:
    """Fails without REVOKED in cancel.lua: a worker that slept would throw a completed conversation away."""
    claim, other = begin(ledger, job_ids[0]), begin(ledger, job_ids[1])
    assert isinstance(claim, Claim)
    assert isinstance(other, Claim)
    assert ledger.jobs.release(other, why="as if it had expired", consume_attempt=False)
    ledger.controls.cancel("r")
    held = [LeaseRef("r", one.job_id, one.token) for one in (claim, other)]
    assert ledger.fleet.renew(held, lease_seconds=30) == held
    assert [ledger.fleet.is_cancelled(lease) for lease in held] == [True, False]
    ledger.controls.resume(SPEC)
    assert ledger.fleet.is_cancelled(held[0])  # resumed at once: it stops all the same, and the job starts anew
    assert isinstance(begin(ledger, job_ids[0]), Claim)
    assert not ledger.fleet.is_cancelled(held[0])


def test_a_cancellation_costs_its_jobs_no_attempt(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    """Fails without the HINCRBY in cancel.lua: a run that is cancelled four times would lose its jobs."""
    for _ in range(5):
        claim = begin(ledger, job_ids[0])
        assert isinstance(claim, Claim)
        assert (claim.deliveries, claim.exhausted) == (1, False)
        ledger.controls.cancel("r")
        ledger.controls.resume(SPEC)


def test_a_run_that_is_cancelled_meanwhile_is_not_resubmitted(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    """Fails without the checks in resubmit.lua and reopen.lua: it would be active and refuse all of its work."""
    finish(ledger, job_ids[0])
    ledger.controls.cancel("r")  # after the command has read the run, before it queues the job
    with pytest.raises(StoreError, match="cancelled"):
        ledger.jobs.resubmit("r", job_ids[:1], train=False, evaluate=False)
    assert ledger.stages.reopen("r", Stage.CURATE) == "cancelled"
    assert (counts(ledger), ledger.fleet.active_runs()) == ({"generated": 1, "cancelled": 3}, [])


def test_jobs_that_are_resumed_after_a_curation_without_them_are_curated(
    ledger: Ledger, job_ids: tuple[str, ...]
) -> None:
    """Fails where resume.lua resets the stages of ended runs only: the next stage would run on the old dataset."""
    finish(ledger, job_ids[0])
    ledger.controls.cancel("r")
    ledger.controls.resume(SPEC, without_cancelled=True)
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=30)
    assert isinstance(claim, StageClaim)
    assert ledger.stages.finish(claim, result={"kept": 1}) == "next"  # training is ready
    ledger.controls.cancel("r")
    assert ledger.controls.resume(SPEC) == ("resumed", 3)
    states = [ledger.stages.view("r", stage).state for stage in Stage]
    assert states == [StageState.WAITING] * 3
    assert ledger.run("r").version == 2
    assert [finish(ledger, job_id) for job_id in job_ids[1:]][-1] == "last"
    assert curating(ledger) is StageState.READY


def test_a_late_trajectory_of_a_resumed_run_is_stored_once(ledger: Ledger, job_ids: tuple[str, ...]) -> None:
    claim = begin(ledger, job_ids[0])
    assert isinstance(claim, Claim)
    ledger.controls.cancel("r")
    ledger.controls.resume(SPEC)
    assert finish(ledger, job_ids[0], token=claim.token) == "stored"  # its worker had not noticed yet
    assert counts(ledger) == {"queued": 3, "generated": 1}
    assert begin(ledger, job_ids[0]) == "terminal"
    late = Failure(kind=FailureKind.TIMEOUT, message="late")
    second = begin(ledger, job_ids[1])
    assert isinstance(second, Claim)
    ledger.controls.cancel("r")
    ledger.controls.resume(SPEC)
    assert finish(ledger, job_ids[1], failure=late, token=second.token) == "stale"
    assert counts(ledger) == {"queued": 3, "generated": 1}


def test_a_worker_is_named_without_its_host_where_that_is_unique(ledger: Ledger) -> None:
    for name in ("gpu@one", "mac@one", "mac@two"):
        ledger.fleet.heartbeat(name, {})
    assert control_worker(ledger, "gpu", WorkerControl.DRAINING) == {"worker": "gpu@one", "state": "draining"}
    with pytest.raises(UsageError, match="2 workers are named 'mac': mac@one, mac@two"):
        control_worker(ledger, "mac", WorkerControl.PAUSED)
    assert list(ledger.fleet.controls()) == ["gpu@one"]
