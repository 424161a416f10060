"""What every test gets: an environment of its own; and the options of the engine tests."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

for name in [name for name in os.environ if name.startswith(("APPLEJACK_", "FLOWER_", "CELERY_"))]:
    del os.environ[name]  # a developer's own settings must not decide whether a test passes

LONGEST = ("test_demo.py", "test_stages_under_fault.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--docker", action="store_true", help="run tests/integration/engine on a real Docker engine")
    parser.addoption("--write-mistakes", action="store_true", help="write the lines into docs/first-mistakes.md")
    # pytest-docker-tools reads it; its plugin, which would add it, is loaded by nobody (pyproject.toml says why)
    parser.addoption("--reuse-containers", action="store_true", help="with --docker: keep containers that have a name")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one process runs a whole file, and the others would wait for it at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def lock_dirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests run two at a time and all load models: none may wait for another's, nor for what else this machine does."""
    folder = tmp_path_factory.getbasetemp() / "locks"
    os.environ["APPLEJACK_LOCK_DIR"] = str(folder / "session")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def fresh_settings(lock_dirs: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read once in a process; here once in a test, each with a device lock of its own."""
    monkeypatch.setenv("APPLEJACK_LOCK_DIR", str(next(lock_dirs)))
    from config.settings import settings
    from worker.tools import sandbox

    if sandbox.missing():  # tests/integration/test_sandbox_attacks.py is skipped there
        monkeypatch.setenv("APPLEJACK_UNSANDBOXED", "1")
    settings.cache_clear()
    yield
    settings.cache_clear()
