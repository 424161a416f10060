"""What every test gets: an environment of its own; and the options of the engine tests."""

import os
from collections.abc import Iterator

import pytest

for name in [name for name in os.environ if name.startswith(("APPLEJACK_", "FLOWER_", "CELERY_"))]:
    del os.environ[name]  # a developer's own settings must not decide whether a test passes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--docker", action="store_true", help="run tests/integration/engine on a real Docker engine")
    # pytest-docker-tools reads it; its plugin, which would add it, is loaded by nobody (pyproject.toml says why)
    parser.addoption("--reuse-containers", action="store_true", help="with --docker: keep containers that have a name")


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    """Settings are read once in a process; here once in a test."""
    from config.settings import settings

    settings.cache_clear()
    yield
    settings.cache_clear()
