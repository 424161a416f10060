from pathlib import Path

import pytest

from config.errors import EvaluationError
from config.records import JsonObject
from worker.evaluate.identity import DIFFERENT_TOKENS, Canary, _canary, prove_constant, prove_different


def answers(*logprobs: float, token: int = 1) -> tuple[Canary, ...]:
    """One canary a log probability, each of one token."""
    return tuple(Canary((token,), (value,), "x") for value in logprobs)


OTHERS = answers(-1.0, -1.0, token=2)
BASE = answers(-1.0, -2.0)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    (tmp_path / "adapters.safetensors").write_bytes(b"weights")
    return tmp_path


@pytest.mark.parametrize(
    ("adapted", "noise"),
    [
        (OTHERS, (0.0, 0.0)),  # other words
        (answers(-1.0, -2.5), (0.0, 0.0)),  # the same words, of which it is less sure
        (answers(-1.0, -2.5), (0.0, 0.01)),  # far beyond the noise
        (answers(-1.1, -2.0), (0.0, DIFFERENT_TOKENS)),  # the steady question tells
    ],
)
def test_adapter_that_answers_is_proven(adapted: tuple[Canary, ...], noise: tuple[float, ...], adapter: Path) -> None:
    told = prove_different(BASE, adapted, noise=noise, adapter=adapter)
    assert "Adapter weights: sha256 9a129038d9a00aed" in told  # of b"weights"


@pytest.mark.parametrize(
    ("adapted", "noise"),
    [
        (BASE, (0.0, 0.0)),  # exactly the base
        (answers(-1.00001, -2.0), (0.0, 0.0)),  # sums in another order
        (answers(-1.05, -2.0), (0.01, 0.0)),  # no further than ten times what the base differs from itself
        ((BASE[0], OTHERS[1]), (0.0, DIFFERENT_TOKENS)),  # only where the base itself wavers
    ],
)
def test_adapter_that_does_not_answer_gets_no_score(
    adapted: tuple[Canary, ...], noise: tuple[float, ...], adapter: Path
) -> None:
    with pytest.raises(EvaluationError, match="no score"):
        prove_different(BASE, adapted, noise=noise, adapter=adapter)


def test_noise_is_told_for_each_question() -> None:
    assert prove_constant([BASE, answers(-1.25, -2.0)], who="it") == (0.25, 0.0)
    assert prove_constant([BASE, (BASE[0], OTHERS[1])], who="it") == (0.0, DIFFERENT_TOKENS)


def test_server_that_changed_its_weights_is_found_out() -> None:
    with pytest.raises(EvaluationError, match="the model answered every canary question differently"):
        prove_constant([BASE, OTHERS], who="the model")


@pytest.mark.parametrize(
    ("choice", "canary"),
    [
        (
            {"message": {"content": "Hi"}, "logprobs": {"content": [{"id": 5, "logprob": -0.5}]}},
            Canary((5,), (-0.5,), "Hi"),
        ),
        ({"message": {"content": "Hi"}}, Canary((), (), "Hi")),  # a server without log probabilities
        (  # a call's id is drawn anew each time, so it is no difference
            {"message": {"content": None, "tool_calls": [{"id": "a8f", "function": {"name": "grep"}}]}},
            Canary((), (), "[{'name': 'grep'}]"),
        ),
        ({"message": None}, Canary((), (), "")),
    ],
)
def test_canary_is_read_from_what_servers_send(choice: JsonObject, canary: Canary) -> None:
    assert _canary(choice) == canary
