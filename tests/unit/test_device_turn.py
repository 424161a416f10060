"""A model server's turn on the device, beside trainings and other servers."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.device.device_lock import Claim
from worker.endpoint.device_turn import DeviceTurn

GRACE = 0.3  # seconds


@pytest.fixture
def turn(tmp_path: Path) -> Callable[[str], DeviceTurn]:
    return lambda worker: DeviceTurn(worker, tmp_path / "locks", GRACE)


def test_a_server_starts_at_once_on_a_free_device(turn: Callable[[str], DeviceTurn]) -> None:
    assert turn("generate1@mac").take() == ""


def test_a_server_does_not_start_between_a_training_and_its_evaluation(turn: Callable[[str], DeviceTurn]) -> None:
    """Fails without the grace (it starts when the training ends) and without `wanted_by` in `take` (it starts and has
    to stop again)."""
    server = turn("generate1@mac")
    training = Claim("training", "night-1", folder=server.folder)
    assert server.take() == "the model server waits for training of night-1"
    training.release()
    assert "nobody else claims the device" in server.take()
    evaluation = Claim("evaluation", "night-1", folder=server.folder)
    assert [use.name for use in evaluation.ahead()] == ["generate1"]
    assert server.take() == "the model server waits for evaluation of night-1"
    assert evaluation.ahead() == []
    evaluation.release()
    assert server.take() != ""
    time.sleep(GRACE)
    assert server.take() == ""


def test_two_servers_do_not_make_room_for_each_other(turn: Callable[[str], DeviceTurn]) -> None:
    """Fails without the purpose in `wanted_by`: they would load their models in turn, for ever."""
    first, second = turn("generate1@mac"), turn("generate2@mac")
    assert first.take() == ""
    assert second.take() == "the model server waits for model server (generate1)"
    assert first.wanted_by() is None
    training = Claim("training", "night-1", folder=first.folder)
    assert [str(turn.wanted_by()) for turn in (first, second)] == ["training of night-1"] * 2
    training.release()
