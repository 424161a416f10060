"""Programs that are not applejack get no secret of applejack in their environment.

Fails without the condition in outside_environment.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from config.environment import outside_environment
from config.git import run_git
from config.settings import Settings
from worker.endpoint import model_server
from worker.endpoint.model_server import ModelServer
from worker.train.command_process import trainer_environment

SECRET = "s3cret"
SETTINGS = [f"APPLEJACK_{name.upper()}" for name, field in Settings.model_fields.items() if "Secret" in str(field)]


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SETTINGS, "HF_TOKEN"):
        monkeypatch.setenv(name, f"redis://:{SECRET}@host/0")


def test_there_are_secret_settings() -> None:
    assert {"APPLEJACK_REDIS_URL", "APPLEJACK_ENDPOINT_KEY", "APPLEJACK_METRICS_TOKEN"} <= set(SETTINGS)


def of_git(folder: Path) -> Mapping[str, str]:
    """What git gives an alias of its own."""
    run_git(folder, "init", "-q", timeout=20)
    printed = run_git(folder, "-c", "alias.e=!env", "e", timeout=20)
    return dict(line.partition("=")[::2] for line in printed.decode().splitlines())


def of_a_model_server(folder: Path) -> Mapping[str, str]:
    given: dict[str, str] = {}

    def start_child(*_: object, env: Mapping[str, str], **__: object) -> None:
        given.update(env)
        raise InterruptedError

    (folder / "config.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_server, "start_child", start_child)
        with pytest.raises(InterruptedError):
            ModelServer(folder, log=folder / "log").start()
    return given


@pytest.mark.parametrize("environment", [of_git, of_a_model_server, lambda _: outside_environment()])
def test_no_secret_is_given(environment: Callable[[Path], Mapping[str, str]], tmp_path: Path) -> None:
    given = environment(tmp_path)
    assert "PATH" in given
    assert [name for name, value in given.items() if SECRET in value] == []


def test_a_trainer_gets_the_hubs_token_and_no_other_secret() -> None:
    """It may download its base model."""
    assert [name for name, value in trainer_environment().items() if SECRET in value] == ["HF_TOKEN"]
