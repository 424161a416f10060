"""pytest-celery on child processes, or on Docker with --docker; nothing else loads it."""

from collections.abc import Iterator

import pytest
from pytest_celery import CeleryBackendCluster, CeleryBrokerCluster, RedisTestBackend, RedisTestBroker
from pytest_celery.plugin import *  # noqa: F403  # its fixtures are found by being names of this module
from pytest_docker_tools.wrappers import container as container_wrapper

from tests.support.process_engine import Engine


@pytest.fixture(scope="session")
def docker_client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The engine: the one fixture that every component of pytest-celery takes."""
    if request.config.getoption("--docker"):
        import docker

        yield docker.from_env()
        return
    engine = Engine(tmp_path_factory.mktemp("engine"))
    with pytest.MonkeyPatch.context() as patch:
        # In a container itself, pytest-docker-tools would go by container addresses, and there are none.
        patch.setattr(container_wrapper, "tests_inside_container", lambda: False)
        yield engine
    engine.close()


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: RedisTestBroker) -> Iterator[CeleryBrokerCluster]:
    """Redis alone: the default matrix has RabbitMQ in it, which nobody runs here."""
    cluster = CeleryBrokerCluster(celery_redis_broker)
    yield cluster
    cluster.teardown()


@pytest.fixture
def celery_backend_cluster(celery_redis_backend: RedisTestBackend) -> Iterator[CeleryBackendCluster]:
    """Redis alone, as above."""
    cluster = CeleryBackendCluster(celery_redis_backend)
    yield cluster
    cluster.teardown()
