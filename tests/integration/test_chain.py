"""From submit to a curated dataset: real Redis, real worker processes, the scripted teacher with real tools."""

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import JobState, Prompt, Spec
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.mining.mine import mine
from producer.run_status import RunStatus, status
from tests.integration.conftest import StartWorker
from tests.support.tiny_student import make_tiny_student

CODE = Path(__file__).resolve().parents[2] / "config"
LEASE = "2"  # seconds: a killed worker's jobs run elsewhere soon


@pytest.fixture
def ledger(redis_url: SecretStr) -> Ledger:
    return Ledger.connect(redis_url.get_secret_value())


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return make_tiny_student(tmp_path / "student")


def submit(ledger: Ledger, url: SecretStr, student: Path, prompts: list[Prompt], **fields: object) -> None:
    spec = Spec(
        run_id="r", workspace=str(CODE), teacher="scripted", student=str(student), dataset_format="turns",
        max_seq_length=4096, train=False, **fields,
    )  # fmt: skip
    enqueue.submit(ledger, Settings(redis_url=url), spec, prompts)


def ended(ledger: Ledger, seconds: float = 90) -> RunStatus:
    deadline = time.monotonic() + seconds
    while (seen := status(ledger, "r")).stage not in {"done", "failed"}:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


@pytest.mark.timeout(180)
def test_a_run_is_generated_by_two_workers_gathered_and_curated(
    ledger: Ledger, redis_url: SecretStr, student: Path, start_worker: StartWorker
) -> None:
    submit(ledger, redis_url, student, mine([CODE], count=40, seed=1))
    for name in ("one", "two"):
        start_worker("generate", name, wait=False)
    start_worker("curate", "curate", wait=False)
    seen = ended(ledger)
    assert seen.stage == "done", seen.error
    assert (seen.generated, seen.failed) == (40, 0)
    assert seen.kept is not None
    assert seen.rejected is not None
    assert seen.kept + seen.rejected == 40
    assert seen.kept >= 36
    assert seen.correct == {"count": 32, "of": 32}  # the other eight are definitions, whose answers are not graded
    verdicts = ledger.verdicts("r")
    assert len(verdicts) == 40
    assert all(bool(verdict.rows) is verdict.kept for verdict in verdicts.values())
    assert set(seen.by_worker) == {"one@test", "two@test"}
    assert ledger.files.has("r", "dataset")

    replayed = ledger.stages.view("r", Stage.CURATE).result["replayed"]
    assert isinstance(replayed, dict)
    assert replayed["matched"] == replayed["calls"] != 0
    assert replayed["not_replayed"] == {}

    kept = ledger.stages.view("r", Stage.CURATE).result["content_hash"]
    assert ledger.stages.reopen("r", Stage.CURATE) == "ready"
    enqueue.enqueue_stage(Settings(redis_url=redis_url), "r", Stage.CURATE)
    assert ended(ledger).stage == "done"
    assert ledger.stages.view("r", Stage.CURATE).result["content_hash"] == kept  # the same run in, the same bytes out


@pytest.mark.timeout(180)
def test_a_worker_killed_in_mid_run_loses_no_job(
    ledger: Ledger, redis_url: SecretStr, student: Path, start_worker: StartWorker
) -> None:
    env = {"APPLEJACK_LEASE_SECONDS": LEASE}
    victim = start_worker("generate", "victim", env=env)
    submit(ledger, redis_url, student, mine([CODE], count=60, seed=2))
    wait_for(lambda: ledger.jobs.counts("r")[JobState.GENERATED] >= 5)
    victim.kill()
    assert ledger.jobs.counts("r")[JobState.GENERATED] < 60  # it was in mid-run
    start_worker("generate", "heir", env=env, wait=False)
    start_worker("curate", "curate", env=env, wait=False)
    seen = ended(ledger)
    assert seen.stage == "done", seen.error
    assert (seen.generated, seen.failed, seen.queued, seen.running) == (60, 0, 0, 0)
    assert (seen.kept or 0) + (seen.rejected or 0) == 60


def wait_for(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
