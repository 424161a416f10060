"""Task logic in Celery's own embedded worker on a real Redis."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from pydantic import SecretStr

from config.broker import make_app
from config.ledger import Ledger
from config.records import JobState, Prompt, Spec, StageState
from config.settings import Settings
from config.topology import CURATE, EVALUATE, GENERATE, QUEUES, TRAIN, Stage
from tests.integration.conftest import StartWorker
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.fleet.clock import Clock
from worker.fleet.leases import Leases
from worker.job_runner import JobRunner
from worker.stage_runner import StageRunner
from worker.tasks import register

ANSWERABLE = Prompt(prompt="What is 6 times 7?", category="arithmetic", requires_tools=False)


@pytest.fixture
def ledger(redis_url: SecretStr) -> Ledger:
    return Ledger.connect(redis_url.get_secret_value())


@pytest.fixture
def app(redis_url: SecretStr, ledger: Ledger, tmp_path: Path) -> Iterator[Celery]:
    settings = Settings(redis_url=redis_url, dir=tmp_path)
    made = make_app(settings)
    made.conf.task_always_eager = False
    leases = Leases(ledger.fleet, lease_seconds=30)
    jobs = JobRunner(ledger, leases, settings, "w", ConcurrencyLimiter(most=1))
    register(made, jobs, StageRunner(ledger, leases, settings, "w"), Clock())
    with start_worker(made, pool="solo", perform_ping_check=False, queues=list(QUEUES), shutdown_timeout=30):
        yield made


def test_tasks_go_by_plain_names_and_their_queues(app: Celery) -> None:
    assert {name for name in app.tasks if not name.startswith(("celery.", "pytest_celery."))} == {
        GENERATE,
        CURATE,
        TRAIN,
        EVALUATE,
    }
    assert {type(name) for name in (GENERATE, CURATE, TRAIN, EVALUATE)} == {str}  # an enum member would lose its value
    assert app.amqp.router.route({}, EVALUATE)["queue"].name == "train"


def test_a_job_is_run_once_and_its_task_returns_what_became_of_each_message(app: Celery, ledger: Ledger) -> None:
    spec = Spec(run_id="r", teacher="scripted", train=False)
    job_id = ledger.create(spec, [ANSWERABLE]).job_ids[0]
    asked = [app.send_task(GENERATE, args=("r", job_id)) for _ in range(2)]  # delivered twice
    assert [one.get(timeout=30) for one in asked] == ["done", "dropped: already finished"]
    view = ledger.jobs.view("r", job_id)
    assert (view.state, view.attempt) == (JobState.GENERATED, 1)
    assert [event.event for event in view.history] == ["started", "generated"]
    told = ledger.jobs.trajectory("r", job_id, 1)
    assert told is not None
    assert "42" in told.answer


def test_a_header_task_never_raises_for_a_bad_rollout(app: Celery, ledger: Ledger) -> None:
    spec = Spec(run_id="r", workspace="/nowhere", teacher="scripted", train=False)
    job_id = ledger.create(spec, [Prompt(prompt="How many files import json?")]).job_ids[0]
    assert app.send_task(GENERATE, args=("r", job_id)).get(timeout=30) == "failed: workspace_unavailable"
    assert ledger.jobs.view("r", job_id).state is JobState.FAILED
    assert [kind.value for kind in ledger.jobs.failure_counts("r")] == ["workspace_unavailable"]


def test_a_stage_that_is_not_due_changes_nothing(app: Celery, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="r"), [ANSWERABLE])
    for task in (CURATE, TRAIN, EVALUATE):
        assert app.send_task(task, args=("r",)).get(timeout=30) == "dropped: its input is not ready"
    assert [ledger.stages.view("r", stage).state for stage in Stage] == [StageState.WAITING] * 3


def test_an_empty_dataset_fails_the_run_in_words(app: Celery, ledger: Ledger, tmp_path: Path) -> None:
    spec = Spec(run_id="r", workspace="/nowhere", teacher="scripted", dataset_format="seed-text")
    job_id = ledger.create(spec, [Prompt(prompt="How many files import json?")]).job_ids[0]
    app.send_task(GENERATE, args=("r", job_id)).get(timeout=30)
    app.send_task(CURATE, args=("r",)).get(timeout=60)
    view = ledger.stages.view("r", Stage.CURATE)
    assert view.state is StageState.FAILED
    assert view.error.startswith("none of 1 trajectories was kept (failed_generation 1")
    assert ledger.verdict("r", job_id) is not None
    assert (tmp_path / "runs" / "r" / "dataset-v1" / "rejected.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("queue", ["generate", "curate"])  # only the first has a supervisor that was started
def test_a_worker_that_is_asked_to_stop_says_goodbye(queue: str, ledger: Ledger, start_worker: StartWorker) -> None:
    worker = start_worker(queue, "polite", env={"APPLEJACK_LEASE_SECONDS": "2"})
    deadline = time.monotonic() + 20
    while not ledger.fleet.workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert worker.stop() == 0
    assert ledger.fleet.workers() == []
