"""The ledger on a real Redis: every write idempotent and atomic, state only forward."""

import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind, StoreError, UsageError
from config.ledger import Ledger
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import Claim
from config.ledger.stages import StageClaim, stage_member
from config.records import (
    Failure,
    Finding,
    JobState,
    JsonObject,
    Message,
    Pin,
    Prompt,
    Spec,
    StageState,
    Trajectory,
    Verdict,
)
from config.topology import Stage

PROMPTS = [Prompt(prompt=f"question {number}") for number in range(4)]
SPEC = Spec(run_id="r", workspace="/code")
LEASE = 30.0


@pytest.fixture
def ledger(redis_url: SecretStr) -> Ledger:
    return Ledger.connect(redis_url.get_secret_value())


def claimed(ledger: Ledger, job_id: str, *, lease: float = LEASE, limit: int = 4, worker: str = "w1") -> Claim:
    claim = ledger.jobs.begin("r", job_id, worker=worker, lease_seconds=lease, delivery_limit=limit)
    assert isinstance(claim, Claim), claim
    return claim


def trajectory(job_id: str, *, attempt: int = 1, answer: str = "yes", failure: Failure | None = None) -> Trajectory:
    return Trajectory(
        run_id="r",
        job_id=job_id,
        attempt=attempt,
        prompt="question",
        messages=(Message(role="user", content="question"), Message(role="assistant", content=answer)),
        outcome="failed" if failure else "completed",
        failure=failure,
    )


def finish_all(ledger: Ledger, job_ids: tuple[str, ...]) -> str:
    words = []
    for job_id in job_ids:
        claimed(ledger, job_id)
        words.append(ledger.jobs.finish(trajectory(job_id), worker="w1"))
    return words[-1]


def test_a_run_is_created_once_and_continued_when_it_is_the_same(ledger: Ledger) -> None:
    created = ledger.create(SPEC, PROMPTS)
    assert created.new
    assert len(created.job_ids) == 4
    assert created.job_ids[0].startswith("000001-")
    claimed(ledger, created.job_ids[0])
    again = ledger.create(SPEC, PROMPTS)
    assert (again.new, again.job_ids) == (False, created.job_ids)
    assert ledger.jobs.counts("r")[JobState.RUNNING] == 1  # what had begun was not reset


def test_a_run_id_taken_by_other_content_is_refused_and_nothing_changes(ledger: Ledger) -> None:
    ledger.create(SPEC, PROMPTS)
    for spec, prompts in ((SPEC, PROMPTS[:3]), (SPEC.model_copy(update={"seed": 1}), PROMPTS)):
        with pytest.raises(UsageError, match="already exists with different prompts"):
            ledger.create(spec, prompts)
    assert ledger.run("r").total == 4
    assert len(ledger.jobs.ids("r")) == 4


def test_a_submit_cut_short_is_invisible_and_can_be_done_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.ledger.ledger.run_script", _dies)
    with pytest.raises(KeyboardInterrupt):
        ledger.create(SPEC, PROMPTS)
    monkeypatch.undo()
    assert ledger.run_ids() == []
    assert ledger.fleet.active_runs() == []
    assert ledger.create(SPEC, PROMPTS[:2]).new  # other content: nothing of the first is left in the way
    assert len(ledger.jobs.ids("r")) == 2


def _dies(*_: object) -> object:
    raise KeyboardInterrupt


def test_two_producers_of_one_new_run_do_not_mix(ledger: Ledger) -> None:
    specs = [SPEC.model_copy(update={"seed": seed}) for seed in range(6)]
    won: list[int] = []

    def create(spec: Spec) -> None:
        try:
            if ledger.create(spec, PROMPTS[: 1 + spec.seed % 4]).new:
                won.append(spec.seed)
        except (UsageError, StoreError):
            pass

    threads = [threading.Thread(target=create, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert ledger.run("r").spec.seed == won[0]
    assert len(ledger.jobs.ids("r")) == ledger.run("r").total == 1 + won[0] % 4


def test_the_first_trajectory_of_an_attempt_wins_and_a_second_changes_nothing(ledger: Ledger) -> None:
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    claimed(ledger, job_id)
    assert ledger.jobs.finish(trajectory(job_id, answer="first"), worker="w1") == "stored"
    failure = Failure(kind=FailureKind.TIMEOUT, message="late")
    assert ledger.jobs.finish(trajectory(job_id, answer="second"), worker="w2") == "already"
    assert ledger.jobs.finish(trajectory(job_id, failure=failure), worker="w2") == "already"
    kept = ledger.jobs.trajectory("r", job_id, 1)
    assert kept is not None
    assert kept.answer == "first"
    assert ledger.jobs.view("r", job_id).worker == "w1"
    assert ledger.jobs.counts("r") == {
        JobState.QUEUED: 3, JobState.RUNNING: 0, JobState.GENERATED: 1, JobState.FAILED: 0, JobState.CANCELLED: 0
    }  # fmt: skip


def test_a_failure_brought_after_its_lease_lapsed_is_not_the_jobs(ledger: Ledger) -> None:
    """Fails without the token in finish.lua: a laptop that slept past a job's wall time would fail it for everybody."""
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    asleep = claimed(ledger, job_id, lease=0.05, worker="asleep")
    wait_past(ledger, 0.06)
    late = trajectory(job_id, failure=Failure(kind=FailureKind.TIMEOUT, message="180 s are over"))
    assert ledger.fleet.reap("r") == [job_id]
    assert ledger.jobs.finish(late, worker="asleep", token=asleep.token) == "stale"  # owed, in nobody's hand
    awake = claimed(ledger, job_id, worker="awake")
    assert ledger.jobs.finish(late, worker="asleep", token=asleep.token) == "stale"  # in another's hand
    assert ledger.jobs.counts("r")[JobState.RUNNING] == 1
    assert ledger.jobs.finish(late, worker="awake", token=awake.token) == "stored"  # its own is its own


def test_a_job_is_held_by_one_worker_until_its_lease_lapses(ledger: Ledger) -> None:
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    slow = claimed(ledger, job_id, lease=0.05, worker="slow")
    assert ledger.jobs.begin("r", job_id, worker="w2", lease_seconds=LEASE, delivery_limit=4) == "held"
    wait_past(ledger, 0.06)
    fast = claimed(ledger, job_id, worker="fast")
    assert fast.token != slow.token
    assert ledger.fleet.renew([LeaseRef("r", job_id, slow.token)], lease_seconds=LEASE) == [
        LeaseRef("r", job_id, slow.token)
    ]
    assert ledger.fleet.renew([LeaseRef("r", job_id, fast.token)], lease_seconds=LEASE) == []
    assert [event.event for event in fast.history] == ["started", "lost", "started"]


def test_a_suspended_worker_does_not_overwrite_what_another_finished(ledger: Ledger) -> None:
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    claimed(ledger, job_id, lease=0.05, worker="asleep")
    wait_past(ledger, 0.06)
    assert ledger.fleet.reap("r") == [job_id]
    claimed(ledger, job_id, worker="awake")
    ledger.jobs.finish(trajectory(job_id, answer="awake"), worker="awake")
    assert ledger.jobs.finish(trajectory(job_id, answer="asleep"), worker="asleep") == "already"
    assert ledger.jobs.view("r", job_id).worker == "awake"


def test_reaping_owes_again_only_what_lapsed(ledger: Ledger) -> None:
    first, second, *_ = ledger.create(SPEC, PROMPTS).job_ids
    claimed(ledger, first, lease=0.05)
    claimed(ledger, second, lease=LEASE)
    wait_past(ledger, 0.06)
    assert ledger.fleet.reap("r") == [first]
    assert ledger.jobs.ids("r", JobState.RUNNING) == [second]
    assert first in ledger.jobs.ids("r", JobState.QUEUED)


def test_a_job_whose_workers_die_is_given_up_at_the_limit(ledger: Ledger) -> None:
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    claims = []
    for number in range(3):
        claims.append(claimed(ledger, job_id, lease=0.02, limit=2, worker=f"w{number}"))
        wait_past(ledger, 0.03)
    assert [claim.exhausted for claim in claims] == [False, False, True]
    assert [event.worker for event in claims[-1].history if event.event == "lost"] == ["w0", "w1"]


def test_handing_back_spends_no_delivery_unless_asked(ledger: Ledger) -> None:
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    for _ in range(5):
        assert ledger.jobs.release(claimed(ledger, job_id, limit=2), why="endpoint down", consume_attempt=False)
    claim = claimed(ledger, job_id, limit=2)
    assert not claim.exhausted
    assert ledger.jobs.release(claim, why="tried", consume_attempt=True)
    assert not ledger.jobs.release(claim, why="tried", consume_attempt=True)  # a second time changes nothing


def test_the_last_finished_job_owes_curation_whatever_failed(ledger: Ledger) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    assert ledger.stages.view("r", Stage.CURATE).state is StageState.WAITING
    for number, job_id in enumerate(job_ids, start=1):
        claimed(ledger, job_id)
        failure = Failure(kind=FailureKind.TIMEOUT, message="too slow")
        word = ledger.jobs.finish(trajectory(job_id, failure=failure), worker="w1")
        assert word == ("last" if number == len(job_ids) else "stored")
    assert ledger.stages.view("r", Stage.CURATE).state is StageState.READY
    assert ledger.jobs.failure_counts("r") == {FailureKind.TIMEOUT: 4}


def test_stages_follow_each_other_once_and_only_for_their_holder(ledger: Ledger) -> None:
    finish_all(ledger, ledger.create(SPEC, PROMPTS).job_ids)
    assert ledger.stages.begin("r", Stage.TRAIN, worker="w", lease_seconds=LEASE) == "waiting"
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=LEASE)
    assert isinstance(claim, StageClaim)
    assert ledger.stages.begin("r", Stage.CURATE, worker="v", lease_seconds=LEASE) == "held"
    forged = StageClaim("r", Stage.CURATE, "forged", exhausted=False)
    assert ledger.stages.finish(forged, result={}) == "stale"
    assert ledger.stages.finish(claim, result={"kept": 4}) == "next"
    assert ledger.stages.finish(claim, result={"kept": 0}) == "stale"
    assert ledger.stages.view("r", Stage.CURATE).result == {"kept": 4}
    assert ledger.stages.view("r", Stage.TRAIN).state is StageState.READY
    assert ledger.stages.begin("r", Stage.CURATE, worker="v", lease_seconds=LEASE) == "done"


def test_a_failed_stage_ends_the_run_and_keeps_its_error(ledger: Ledger) -> None:
    finish_all(ledger, ledger.create(SPEC, PROMPTS).job_ids)
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=LEASE)
    assert isinstance(claim, StageClaim)
    assert ledger.stages.finish(claim, error="none was kept") == "over"
    assert ledger.stages.view("r", Stage.CURATE).error == "none was kept"
    assert ledger.stages.view("r", Stage.TRAIN).state is StageState.WAITING
    assert ledger.fleet.active_runs() == []


def test_a_stage_whose_worker_fell_silent_is_owed_again(ledger: Ledger) -> None:
    finish_all(ledger, ledger.create(SPEC, PROMPTS).job_ids)
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=0.05)
    assert isinstance(claim, StageClaim)
    wait_past(ledger, 0.06)
    assert ledger.fleet.reap("r") == [stage_member(Stage.CURATE)]
    assert ledger.stages.view("r", Stage.CURATE).state is StageState.READY
    assert ledger.stages.finish(claim, result={}) == "stale"


def test_an_ended_stage_can_be_owed_again_and_the_next_waits_for_it(ledger: Ledger) -> None:
    finish_all(ledger, ledger.create(SPEC, PROMPTS).job_ids)
    assert ledger.stages.reopen("r", Stage.TRAIN) == "waiting"
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=LEASE)
    assert isinstance(claim, StageClaim)
    assert ledger.stages.reopen("r", Stage.CURATE) == "running"
    ledger.stages.finish(claim, result={"kept": 4})
    claim = ledger.stages.begin("r", Stage.TRAIN, worker="w", lease_seconds=LEASE)
    assert isinstance(claim, StageClaim)
    ledger.stages.finish(claim, error="bad flag")
    assert ledger.fleet.active_runs() == []
    assert ledger.stages.reopen("r", Stage.TRAIN) == "ready"
    view = ledger.stages.view("r", Stage.TRAIN)
    assert (view.state, view.error, view.result) == (StageState.READY, "", {})
    assert ledger.stages.view("r", Stage.EVALUATE).state is StageState.WAITING
    assert ledger.fleet.active_runs() == ["r"]


def end_stage(ledger: Ledger, stage: Stage, result: JsonObject) -> None:
    claim = ledger.stages.begin("r", stage, worker="w", lease_seconds=LEASE)
    assert isinstance(claim, StageClaim)
    ledger.stages.finish(claim, result=result)


def test_a_new_spec_keeps_the_adapter_and_the_report_of_before(ledger: Ledger, tmp_path: Path) -> None:
    finish_all(ledger, ledger.create(SPEC, PROMPTS).job_ids)
    end_stage(ledger, Stage.CURATE, {"kept": 4})
    for rate in (1e-4, 5e-5, 1e-5):
        for name, stage in (("adapter", Stage.TRAIN), ("report", Stage.EVALUATE)):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "file").write_text(f"{name} of {rate}")
            ledger.files.put("r", name, tmp_path / name)
            # a float and an empty list must survive Lua
            end_stage(ledger, stage, {"of": rate, "losses": [{"train_loss": 0.12345678901234567}], "none": []})
        if rate > 1e-5:
            changed = SPEC.model_copy(update={"lora": {"learning_rate": rate / 2 if rate == 1e-4 else 1e-5}})
            assert ledger.stages.reopen("r", Stage.TRAIN, spec=changed) == "ready"
            assert not ledger.files.has("r", "adapter")
    first, second, third = ledger.adapters("r")
    assert [found.version for found in (first, second, third)] == [1, 2, 3]
    assert [found.current for found in (first, second, third)] == [False, False, True]
    assert [found.lora for found in (first, second, third)] == [
        SPEC.lora,
        {"learning_rate": 5e-5},
        {"learning_rate": 1e-5},
    ]
    for found, rate in ((first, 1e-4), (second, 5e-5), (third, 1e-5)):
        expected = {"of": rate, "losses": [{"train_loss": 0.12345678901234567}], "none": []}
        assert (found.adapter, found.report) == (expected, expected)
        for name in ("adapter", "report"):
            ledger.files.get("r", found.file_name(name), tmp_path / "back")
            assert (tmp_path / "back" / "file").read_text() == f"{name} of {rate}"
    ledger.remove("r")
    assert ledger._redis.keys("applejack:run:r:*") == []


def test_a_stage_that_runs_again_unchanged_replaces_its_adapter(ledger: Ledger) -> None:
    finish_all(ledger, ledger.create(SPEC, PROMPTS).job_ids)
    for stage in Stage:
        end_stage(ledger, stage, {"iterations": 4})
    assert ledger.stages.reopen("r", Stage.TRAIN) == "ready"
    assert ledger.adapters("r") == []
    end_stage(ledger, Stage.TRAIN, {"iterations": 5})
    assert [(found.version, found.adapter, found.report) for found in ledger.adapters("r")] == [
        (1, {"iterations": 5}, {})
    ]


def test_resubmitting_numbers_the_attempt_and_keeps_the_old_trajectory(ledger: Ledger) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    finish_all(ledger, job_ids)
    assert ledger.jobs.resubmit("r", job_ids[:2], train=False, evaluate=False) == 2
    assert ledger.run("r").version == 2
    assert ledger.fleet.active_runs() == ["r"]
    assert ledger.stages.view("r", Stage.TRAIN).state is StageState.SKIPPED
    claim = claimed(ledger, job_ids[0])
    assert claim.attempt == 2
    assert ledger.jobs.finish(trajectory(job_ids[0], answer="old"), worker="w") == "already"
    assert ledger.jobs.finish(trajectory(job_ids[0], attempt=2, answer="new"), worker="w") == "stored"
    old, new = (ledger.jobs.trajectory("r", job_ids[0], attempt) for attempt in (1, 2))
    assert old is not None
    assert new is not None
    assert (old.answer, new.answer) == ("yes", "new")
    assert [one.answer for one in ledger.jobs.trajectories("r")] == ["new", "yes", "yes"]


def test_jobs_that_max_tokens_cut_are_counted_until_they_run_again(ledger: Ledger) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    reasons = [("length",), ("tool_calls", "length"), ("length", "stop"), ("stop",)]  # the third went on after its cut
    for job_id, finish_reasons in zip(job_ids, reasons, strict=True):
        claimed(ledger, job_id)
        ledger.jobs.finish(trajectory(job_id).model_copy(update={"finish_reasons": finish_reasons}), worker="w1")
    assert ledger.jobs.truncated_count("r") == 2
    assert [outcome.truncated for outcome in ledger.jobs.outcomes("r", job_ids)] == [True, True, False, False]
    assert ledger.jobs.failure_counts("r") == {}
    assert ledger.jobs.counts("r")[JobState.GENERATED] == len(PROMPTS)
    view = ledger.jobs.view("r", job_ids[0])
    assert (view.state, view.failure, view.history[-1].detail) == (JobState.GENERATED, None, "truncated")
    ledger.jobs.resubmit("r", job_ids[:1], train=False, evaluate=False)
    assert ledger.jobs.truncated_count("r") == 1


def test_resubmitting_a_job_in_flight_changes_nothing(ledger: Ledger) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    claimed(ledger, job_ids[0])
    ledger.jobs.finish(trajectory(job_ids[0]), worker="w")
    with pytest.raises(StoreError, match=job_ids[1]):
        ledger.jobs.resubmit("r", job_ids[:2], train=True, evaluate=True)
    assert ledger.run("r").version == 1
    assert ledger.jobs.counts("r")[JobState.GENERATED] == 1


def test_files_come_out_as_they_went_in_and_a_changed_one_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    source = tmp_path / "dataset"
    (source / "deep").mkdir(parents=True)
    (source / "train.jsonl").write_bytes(b"x" * 9_000_000)  # three chunks
    (source / "deep" / "empty").touch()
    ledger.create(SPEC, PROMPTS)
    ledger.files.put("r", "dataset", source)
    files = ledger.files.get("r", "dataset", tmp_path / "copy")
    assert [path.relative_to(tmp_path / "copy").as_posix() for path in files] == ["deep/empty", "train.jsonl"]
    assert (tmp_path / "copy" / "train.jsonl").read_bytes() == (source / "train.jsonl").read_bytes()
    redis = ledger.files._redis
    key = "applejack:run:r:files:dataset"
    redis.hset(key, "train.jsonl\n2", redis.hget(key, "train.jsonl\n3"))
    with pytest.raises(StoreError, match="does not match its checksum"):
        ledger.files.get("r", "dataset", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_first_worker_pins_a_workspace_for_the_run(ledger: Ledger) -> None:
    first, second = Pin(origin="/code", digest="a" * 64), Pin(origin="/code", digest="b" * 64)
    assert ledger.pin("r", "/code", first) == first
    assert ledger.pin("r", "/code", second) == first


def test_verdicts_are_replaced_whole(ledger: Ledger) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    ledger.set_verdicts("r", [Verdict(job_id=job_id) for job_id in job_ids])
    rejected = Verdict(job_id=job_ids[0], findings=(Finding(reason="null_result", detail="d", message=1),))
    ledger.set_verdicts("r", [rejected])
    assert ledger.verdicts("r") == {job_ids[0]: rejected}
    assert ledger.verdict("r", job_ids[1]) is None


def test_one_worker_leads_until_it_is_silent(ledger: Ledger) -> None:
    assert ledger.fleet.try_become_leader("a", seconds=0.2)
    assert not ledger.fleet.try_become_leader("b", seconds=0.2)
    wait_past(ledger, 0.25)
    assert ledger.fleet.try_become_leader("b", seconds=0.2)
    assert not ledger.fleet.try_become_leader("a", seconds=0.2)


def wait_past(ledger: Ledger, seconds: float) -> None:
    """Until the server's clock, which leases go by, is that much later."""
    until = ledger.fleet.now() + seconds
    while ledger.fleet.now() < until:
        threading.Event().wait(0.01)
