"""Two versions in one fleet: what an older worker cannot read it leaves to newer ones, and fails nothing."""

import json
import time
from pathlib import Path

import pytest
import redis
from pydantic import BaseModel, SecretStr

from config.diagnostics import run_checks
from config.errors import NewerRecordError
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JobState, Spec, StageState, Trajectory
from config.settings import Settings
from config.topology import Stage, run_key
from config.version import version
from producer.doctor.agreement import Agreement
from producer.overview.workers import worker_problems
from producer.run_status import SILENT_SECONDS
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, RUN, all_terminal, answering, prompts, submit, told, until, worker_view
from tests.support.scripted_endpoint import ScriptedEndpoint
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.fleet.leases import Leases
from worker.fleet.outcome import Fate
from worker.job_runner import JobRunner
from worker.stage_runner import StageRunner

LATER = "tests.support.planted.later_version"
OLD, NEW = "old@test", "new@test"
DROPPED = "dropped: run "  # the end of a delivery in Celery's log

pytestmark = pytest.mark.timeout(150)


def with_field(record: str, **more: object) -> str:
    """The record as a later version would have written it."""
    return json.dumps({**json.loads(record), **more})


@pytest.fixture
def client(redis_url: SecretStr) -> redis.Redis:
    return ledger_client(redis_url.get_secret_value())


def later(monkeypatch: pytest.MonkeyPatch, kind: type[BaseModel], **more: object) -> None:
    """From now on this process writes such records as a later version would."""
    dump = kind.model_dump_json
    monkeypatch.setattr(kind, "model_dump_json", lambda record, **how: with_field(dump(record, **how), **more))


def test_an_older_worker_leaves_a_run_of_a_later_version_to_others(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without NewerRecordError: the older worker fails the stage as internal. Without Reconciler._read_by_nobody
    the messages that it drops are sent again for ever.
    """
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        old = start_worker("generate,curate", "old", env=env, wait=False)
        until(ledger.fleet.workers, "the older worker")
        ledger.create(Spec(run_id="calm", dataset_format="seed-text", train=False), prompts(3))
        later(monkeypatch, Spec, teacher_voice="calm")
        jobs = submit(ledger, redis_url, prompts(4))
        until(lambda: (seen := worker_view(ledger, OLD)) and seen.fields.get("newer_runs"), "it says so")
        until(lambda: ledger.jobs.counts("calm")[JobState.GENERATED] == 3, "the run beside it")
        until(lambda: old.child.log.read_text().count(DROPPED) >= 4, "its messages are dropped")
        time.sleep(1)
        dropped = old.child.log.read_text().count(DROPPED)
        time.sleep(3)  # nine heartbeats
        assert 4 <= old.child.log.read_text().count(DROPPED) == dropped
        assert ledger.jobs.counts(RUN)[JobState.QUEUED] == 4
        (finding,) = run_checks(Agreement(ledger.fleet, version(), SILENT_SECONDS, lambda _: None).checks()).findings
        assert (finding.name, finding.severity) == ("run_newer", "error")
        assert f"was written by a later applejack than {version()}" in finding.message
        assert "the field 'teacher_voice'" in finding.message
        assert [problem.text for problem in worker_problems(ledger.fleet.workers())] == [
            "1 worker older than the run r, which it leaves to others"
        ]
        start_worker("generate,curate", "new", env=env, app=LATER, wait=False)
        counts = all_terminal(ledger)
        ended = (StageState.DONE, StageState.FAILED)
        curated = until(lambda: (seen := ledger.stages.view(RUN, Stage.CURATE)).state in ended and seen, "curated")
        assert old.child.exit_code is None
    assert counts[JobState.GENERATED] == 4
    assert [event.worker for event in curated.history if event.event == "started"] == [NEW]
    assert all("lost" not in told(ledger, job) for job in jobs)
    found = run_checks(Agreement(ledger.fleet, version(), SILENT_SECONDS, lambda _: None).checks()).findings
    assert f"runs applejack 0.2.0, this machine {version()}" in next(
        one.message for one in found if one.name == "worker_version"
    )


def runner(ledger: Ledger, folder: Path) -> tuple[JobRunner, StageRunner]:
    leases, settings = Leases(ledger.fleet, lease_seconds=30), Settings(dir=folder)
    return (
        JobRunner(ledger, leases, settings, OLD, ConcurrencyLimiter(most=1)),
        StageRunner(ledger, leases, settings, OLD),
    )


def test_a_prompt_of_a_later_version_is_handed_back(ledger: Ledger, client: redis.Redis, tmp_path: Path) -> None:
    """Fails without NewerRecordError in JobRunner._prompt: the job fails as internal, for good."""
    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False, teacher="scripted")
    job, _ = ledger.create(spec, prompts(2)).job_ids
    prompt = client.hget(run_key(RUN, "prompts"), job)
    client.hset(run_key(RUN, "prompts"), job, with_field(prompt, hint="look"))
    jobs, _ = runner(ledger, tmp_path)
    for _ in range(2):
        outcome = jobs.run(RUN, job)
        assert outcome.fate is Fate.DROPPED
        assert "it has the field 'hint'" in outcome.detail
    assert told(ledger, job) == ["started", "handed_back"]  # the second time it is not even taken
    assert ledger.jobs.counts(RUN)[JobState.QUEUED] == 2


def test_a_trajectory_of_a_later_version_is_not_taken_for_a_broken_one(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without NewerRecordError in Jobs._readable: curation counts it as a failed generation."""
    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False)
    (job,) = ledger.create(spec, prompts(1)).job_ids
    ledger.jobs.begin(RUN, job, worker=NEW, lease_seconds=30, delivery_limit=4)
    made = Trajectory(run_id=RUN, job_id=job, prompt="q", outcome="completed")
    later(monkeypatch, Trajectory, schema_version=2)
    assert ledger.jobs.finish(made, worker=NEW) == "last"
    _, stages = runner(ledger, tmp_path)
    outcome = stages.run(RUN, Stage.CURATE)
    assert outcome.fate is Fate.DROPPED
    assert "it has schema_version '2'" in outcome.detail
    view = ledger.stages.view(RUN, Stage.CURATE)
    assert view.state is StageState.READY
    stages.run(RUN, Stage.CURATE)
    assert ledger.stages.view(RUN, Stage.CURATE).history == view.history


def test_a_broken_record_is_not_one_of_a_later_version(ledger: Ledger, client: redis.Redis) -> None:
    ledger.create(Spec(run_id=RUN, dataset_format="seed-text", train=False), prompts(1))
    for spec in ("{", '{"run_id": 5}'):
        client.hset(run_key(RUN, "run"), "spec", spec)
        with pytest.raises(ValueError, match="Spec"):
            ledger.run(RUN)
    client.hset(run_key(RUN, "run"), "spec", '{"schema_version": 1, "run_id": "r", "dataset_format": "messages"}')
    with pytest.raises(NewerRecordError, match="dataset_format 'messages'; install that version here"):
        ledger.run(RUN)


def test_what_earlier_versions_wrote_is_read() -> None:
    """Each field that is new since has a default."""
    records: tuple[BaseModel, ...] = (
        Spec(run_id="r"),
        Trajectory(run_id="r", job_id="1", prompt="q", outcome="completed"),
    )
    for record in records:
        oldest = record.model_dump_json(exclude_defaults=True)
        assert type(record).model_validate_json(oldest) == record
