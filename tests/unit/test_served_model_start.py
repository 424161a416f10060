"""A model server that never answers is given up; one that has answered is started again for ever."""

from pathlib import Path

import pytest

from config.endpoint.health import HealthCheck
from config.errors import DownloadError, EndpointError, FailureKind, ServerKilledError
from worker.endpoint import served_model
from worker.endpoint.device_turn import DeviceTurn
from worker.endpoint.model_server import ModelServer
from worker.endpoint.served_model import FIRST_STARTS, ServedModel


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ServedModel, list[str]]:
    """A model that does not exist, without the waits between its starts; and the reasons it was given up for."""
    monkeypatch.setattr(served_model, "FIRST_BACKOFF", 0.001)
    given_up: list[str] = []
    (tmp_path / "empty").mkdir()
    turn = DeviceTurn("w", tmp_path / "locks", grace_seconds=0)
    model = ServedModel(str(tmp_path / "empty"), tmp_path / "server.log", lambda _: None, given_up.append, turn)
    return model, given_up


def test_a_model_that_does_not_exist_is_given_up_after_three_starts(served: tuple[ServedModel, list[str]]) -> None:
    model, given_up = served
    for _ in range(FIRST_STARTS):
        assert given_up == []
        model.ensure(HealthCheck)
    assert len(given_up) == 1
    assert "\n" not in given_up[0]
    assert given_up[0].startswith(f"cannot serve {model.model!r}, tried 3 times: ")
    assert "has no config.json" in given_up[0]


@pytest.mark.parametrize(
    "passing",
    [DownloadError("the network is down"), ServerKilledError("killed", kind=FailureKind.ENDPOINT_UNREACHABLE)],
    ids=["download", "killed"],
)
def test_failures_that_pass_do_not_count_towards_giving_up(
    served: tuple[ServedModel, list[str]], monkeypatch: pytest.MonkeyPatch, passing: Exception
) -> None:
    """Fails where every failed start counts: after a night without network the first other failure ended the worker."""
    model, given_up = served

    def fails(_: ModelServer) -> None:
        raise passing

    (Path(model.model) / "config.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(ModelServer, "start", fails)
        for _ in range(2 * FIRST_STARTS):
            model.ensure(HealthCheck)
    (Path(model.model) / "config.json").unlink()  # from now on a start fails for a reason that does not pass
    for _ in range(FIRST_STARTS):
        assert given_up == []
        model.ensure(HealthCheck)
    assert [f"tried {FIRST_STARTS} times" in reason for reason in given_up] == [True]


def test_a_server_that_has_answered_is_never_given_up(
    served: tuple[ServedModel, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without `_answered`: a night's worker would end at the third failed restart."""
    model, given_up = served

    def starts(_: ModelServer) -> None:
        """The one start that succeeds."""

    (Path(model.model) / "config.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(ModelServer, "start", starts)
        model.ensure(HealthCheck)
    (Path(model.model) / "config.json").unlink()  # from now on a start fails
    assert model.server is not None
    gone = HealthCheck(EndpointError("gone", kind=FailureKind.ENDPOINT_UNREACHABLE))
    for _ in range(2 * FIRST_STARTS):
        model.ensure(lambda: gone)
    assert given_up == []
