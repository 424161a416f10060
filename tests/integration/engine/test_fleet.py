"""Our own workers as two nodes of pytest-celery: one is killed and restarted in mid-run, and no job is lost."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from pydantic import SecretStr
from pytest_celery import CeleryTestSetup, CeleryTestWorker, CeleryWorkerCluster, CeleryWorkerContainer, RedisContainer
from pytest_docker_tools import build, container, fxtr

from config.ledger import Ledger
from config.records import JobState, Spec
from config.settings import Settings
from producer import enqueue
from producer.mining.mine import mine

ROOT = Path(__file__).resolve().parents[3]
JOBS = 60
LEASE = "2"  # seconds: a killed worker's jobs run elsewhere soon


class GenerateContainer(CeleryWorkerContainer):
    """A node that runs our worker on the generate queue."""

    @classmethod
    def command(cls, *args: str, **_: object) -> list[str]:
        """As `applejack worker generate` starts it; INFO, because the log's last word is how readiness shows."""
        worker = ["celery", "-A", "worker.app", "worker", "-Q", "generate", "-n", f"{cls.worker_name()}@%h"]
        return [*worker, "-P", "threads", "-c", "2", "--loglevel", "INFO", *args]

    @classmethod
    def worker_name(cls) -> str:
        """The node's name before the host's."""
        return "generate"

    @classmethod
    def worker_queue(cls) -> str:
        """Where its jobs come from."""
        return "generate"


@pytest.fixture
def worker_env(default_redis_broker: RedisContainer) -> dict[str, str]:
    """One Redis is broker, result backend and ledger; workers see it by its name in the network."""
    return {
        "APPLEJACK_REDIS_URL": default_redis_broker.celeryconfig["url"],
        "APPLEJACK_LEASE_SECONDS": LEASE,
        "APPLEJACK_DIR": "/tmp/applejack",
        "APPLEJACK_WORKSPACE_ROOTS": "/",
        "APPLEJACK_LOG_FORMAT": "json",
    }


@pytest.fixture
def worker_command() -> list[str]:
    return GenerateContainer.command()


image = build(
    path=str(ROOT), dockerfile="config/deploy/Dockerfile", tag="applejack/worker:test", buildargs={"EXTRAS": "[worker]"}
)
OPTIONS = {
    "image": "{image.id}",
    "environment": fxtr("worker_env"),
    "command": fxtr("worker_command"),
    "network": "{default_pytest_celery_network.name}",
    "wrapper_class": GenerateContainer,
    "timeout": 60,
}
first_node = container(**OPTIONS)
second_node = container(**OPTIONS)


@pytest.fixture
def celery_worker_cluster(
    first_node: GenerateContainer, second_node: GenerateContainer, celery_setup_app: Celery
) -> Iterator[CeleryWorkerCluster]:
    cluster = CeleryWorkerCluster(*(CeleryTestWorker(node, celery_setup_app) for node in (first_node, second_node)))
    yield cluster
    cluster.teardown()


@pytest.fixture
def url(celery_setup: CeleryTestSetup) -> SecretStr:
    return SecretStr(celery_setup.broker.config()["host_url"])


@pytest.fixture
def ledger(url: SecretStr) -> Ledger:
    return Ledger.connect(url.get_secret_value())


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def workspace(request: pytest.FixtureRequest) -> str:
    """The same code, where the nodes find it."""
    return "/src/config" if request.config.getoption("--docker") else str(ROOT / "config")


def submit(ledger: Ledger, url: SecretStr, workspace: str) -> None:
    prompts = mine([ROOT / "config"], count=JOBS, seed=3)
    spec = Spec(run_id="fleet", workspace=workspace, teacher="scripted", train=False)
    enqueue.submit(ledger, Settings(redis_url=url), spec, prompts)


@pytest.mark.timeout(240)
def test_two_nodes_share_a_run(celery_setup: CeleryTestSetup, ledger: Ledger, url: SecretStr, workspace: str) -> None:
    wait_for(lambda: len(ledger.fleet.workers()) == 2)
    submit(ledger, url, workspace)
    wait_for(lambda: ledger.jobs.counts("fleet")[JobState.GENERATED] == JOBS)
    names = {node.hostname() for node in celery_setup.worker_cluster}
    assert {key.rpartition("|")[0] for key in ledger.counters("fleet")[1]} == names


@pytest.mark.timeout(240)
def test_a_node_killed_and_restarted_in_mid_run_loses_no_job(
    celery_setup: CeleryTestSetup, ledger: Ledger, url: SecretStr, workspace: str
) -> None:
    wait_for(lambda: len(ledger.fleet.workers()) == 2)
    victim = celery_setup.worker_cluster[0]
    submit(ledger, url, workspace)
    wait_for(lambda: ledger.jobs.counts("fleet")[JobState.GENERATED] >= 3)
    victim.kill()
    counts = ledger.jobs.counts("fleet")
    assert counts[JobState.GENERATED] < JOBS  # it was in mid-run
    victim.restart()
    wait_for(lambda: ledger.jobs.counts("fleet")[JobState.GENERATED] == JOBS)
    assert sum(ledger.counters("fleet")[1].values()) == JOBS  # none counted twice
