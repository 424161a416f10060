"""The texts with which workers pause, and the label that each becomes."""

import pytest

from config.endpoint.client import _request_error
from producer.flower.prometheus.pause_causes import HEALTHY_ENDPOINT, VALUES, pause_causes
from worker.models.progress import Progress


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        # worker/endpoint/supervisor.py
        ("starting the server of mlx-community/Qwen3-4B", "starting"),
        ("3 jobs in a row failed although the endpoint is healthy: the connection was closed", "jobs_failed"),
        ("the model server makes room for the training of mac", "device"),
        ("512 MB free in '/data'", "disk"),
        ("0 MB free in '/data': the journal cannot be written (No space left on device)", "disk"),
        # worker/endpoint/served_model.py and device_turn.py
        ("the server of m died: MemoryError", "server_lost"),
        ("the server of m is wedged: 'http://h/v1' did not respond within 15 s; 3 lines", "server_lost"),
        ("the server of m does not answer: 'http://h/v1' cannot be reached: refused", "server_lost"),
        ("the model server waits for a training of mac", "device"),
        ("the model server starts if nobody else claims the device within 15 s", "device"),
        # config/endpoint/client.py
        (str(_request_error("http://h/v1", TimeoutError(), 15)), "endpoint_wedged"),
        (str(_request_error("http://h/v1", ConnectionRefusedError(111, "Connection refused"), 15)),
         "endpoint_unreachable"),
        ("'http://h/v1' answered 500 with 'x' instead of a completion", "endpoint_error"),
        ("requested model 'a', but 'http://h/v1' serves 'b'; load 'a' there", "wrong_model"),
        ("'http://h/v1' redirects to 'https://h/v1'; configure that address", "endpoint_error"),
        # worker/models/progress.py
        (str(Progress("m", 10, 100)), "starting"),
        (str(Progress("m", 10, 100, by="mac")), "starting"),
        # worker/fleet/intake.py
        ("paused by a person; `applejack worker resume mac` lets it go on", "person"),
        ("draining: a person lets it end with the work that it holds", "person"),
        # words that this version does not know
        ("the moon is full", "other"),
    ],
)  # fmt: skip
def test_each_pause_has_one_of_few_causes(text: str, cause: str) -> None:
    assert pause_causes(text) == (cause,)
    assert cause in VALUES


def test_a_person_and_an_endpoint_that_is_down_are_two_causes() -> None:
    text = "paused by a person; `applejack worker resume mac` lets it go on; 'http://h/v1' cannot be reached: refused"
    assert pause_causes(text) == ("person", "endpoint_unreachable")
    assert not HEALTHY_ENDPOINT.issuperset(pause_causes(text))


def test_a_worker_that_takes_jobs_has_no_cause() -> None:
    assert pause_causes("") == ()
