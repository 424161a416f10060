"""A real server, and real worker processes: what integration tests run against."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from producer.stack.redis_server import Server, short_lived_client
from tests.support import workers
from tests.support.forked_workers import start_fork
from tests.support.workers import WorkerProcess, start_worker_process

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="session", autouse=True)
def forked_workers() -> Iterator[None]:
    """What start_worker_process starts is forked, which takes a fifth of the CPU time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "start_child", start_fork)
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for the whole run."""
    with Server.start(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Server) -> SecretStr:
    """The url of the server, emptied for this test."""
    with short_lived_client(redis_server.url, seconds=5) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def ledger(redis_url: SecretStr) -> Ledger:
    """The ledger of the emptied server."""
    return Ledger.connect(redis_url.get_secret_value())


@pytest.fixture
def start_worker(redis_url: SecretStr, tmp_path: Path) -> Iterator[StartWorker]:
    """start_worker(queues, name, env={}, app="worker.app", ...) -> a real Celery worker process that answers pings.

    It can be killed, suspended, resumed and stopped; none is left after the test.
    """
    started: list[WorkerProcess] = []

    def start(queues: str, name: str, **options: object) -> WorkerProcess:
        started.append(start_worker_process(queues, name, url=redis_url, folder=tmp_path, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for worker in started:
        worker.child.kill()
