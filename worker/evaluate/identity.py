"""Checks which weights a server runs, with canary questions at temperature 0 to the base model and to the adapter.

A server may be running different weights than you think: mlx_lm leaves out the adapter if a request names the model's
own path, and an adapter with an empty file has no effect. Scores of such answers would mislead. So both models get the
same questions, always as DEFAULT_MODEL, and their answers must differ by more than the noise of one server. The
server's process also records which files it loaded, so that the weights of another model are found.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from config.endpoint.client import complete
from config.errors import EvaluationError
from config.records import DEFAULT_MODEL, JsonObject
from worker.endpoint.loaded_weights import LoadedWeights

QUESTIONS = (
    "Which file defines the class Task?",
    "How many Python files are there in this project?",
    "What is the capital of France?",
)
TOKENS = 16  # per answer
EXACT: JsonObject = {"temperature": 0.0, "logprobs": True}  # for mlx_lm only: hosted servers reject both
SECONDS = 300.0  # per answer; a cold 30B model is slow
SMALLEST = 1e-4  # larger than the difference in log probability from another order of float32 sums
DIFFERENT_TOKENS = float("inf")  # the distance between answers with different tokens
NOISE_FACTOR = 10.0  # by how much the adapter's difference must exceed the base model's noise


@dataclass(frozen=True)
class Canary:
    """One answer, token by token. `text` distinguishes answers where the server returns no tokens."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str

    def distance(self, other: "Canary") -> float:
        """The largest difference in log probability; DIFFERENT_TOKENS if the tokens differ."""
        if (self.tokens, self.text) != (other.tokens, other.text):
            return DIFFERENT_TOKENS
        return max((abs(a - b) for a, b in zip(self.logprobs, other.logprobs, strict=True)), default=0.0)


Canaries = tuple[Canary, ...]


def canaries(base_url: str, *, model: str = DEFAULT_MODEL) -> Canaries:
    """The answers to QUESTIONS. They are requested one by one: requests in a batch change each other's last digits.

    Raises EndpointError.
    """
    return tuple(
        _canary(complete(base_url, question, max_tokens=TOKENS, timeout=SECONDS, model=model, options=EXACT))
        for question in QUESTIONS
    )


def distances(first: Canaries, second: Canaries) -> tuple[float, ...]:
    """The distance between the answers to each question."""
    return tuple(before.distance(after) for before, after in zip(first, second, strict=True))


def prove_constant(answers: Sequence[Canaries], *, who: str) -> tuple[float, ...]:
    """The noise of a server: the distance between its answers to each question at different times.

    Noise can change the words of a single answer. Raises EvaluationError if the words of every answer changed: the
    server may have loaded other weights meanwhile.
    """
    differences = [distances(earlier, later) for earlier, later in pairwise(answers)]
    noise = tuple(max(question) for question in zip(*differences, strict=True))
    if min(noise) == DIFFERENT_TOKENS:
        raise EvaluationError(
            f"{who} answered every canary question differently before and after the prompts, at temperature 0, so "
            "it is unknown which weights were scored; make sure that nothing else uses this server"
        )
    return noise


def prove_different(base: Canaries, adapted: Canaries, *, noise: Sequence[float], adapter: Path) -> str:
    """The evidence that the adapter answered, as text for the report. Raises EvaluationError if there is none."""
    steady = [
        (distance, max(SMALLEST, NOISE_FACTOR * own_noise))
        for distance, own_noise in zip(distances(base, adapted), noise, strict=True)
        if own_noise != DIFFERENT_TOKENS
    ]
    if not any(distance > threshold for distance, threshold in steady):
        raise EvaluationError(
            f"no score: the model answers {len(steady)} questions the same with the adapter {str(adapter)!r} and "
            f"without it (largest difference in log probability {max(distance for distance, _ in steady):.1e}). "
            "The adapter was not loaded or not trained; check its adapter_config.json and its training losses"
        )
    changed = sum(distance == DIFFERENT_TOKENS for distance, _ in steady)
    largest = max((distance for distance, _ in steady if distance != DIFFERENT_TOKENS), default=None)
    others = "" if largest is None else f", the others differ by up to {largest:.2g} in log probability"
    repeated = max(distance for distance in noise if distance != DIFFERENT_TOKENS)
    return (
        f"{len(noise)} canary questions at temperature 0, {TOKENS} tokens each, were sent to {DEFAULT_MODEL!r} "
        f"without and with the adapter: {changed} answers have different tokens{others}. Repeated after the prompts, "
        f"the models gave the same answers (log probabilities within {repeated:.1e}). Adapter weights: sha256 "
        f"{adapter_digest(adapter)}."
    )


def require_loaded(loads: Sequence[LoadedWeights], *, model: Path, adapter: Path | None) -> None:
    """Raise EvaluationError unless every load that a server recorded was of this model and this adapter."""
    expected = LoadedWeights.of(model.resolve(), adapter.resolve() if adapter else None)
    if not loads:
        raise EvaluationError(f"no score: the server of {expected.shown} has not recorded which weights it loaded")
    for load in loads:
        if load.model_digest != expected.model_digest:
            raise EvaluationError(
                f"no score: the server loaded {load.model!r}, whose files are not those of {expected.model!r}; make "
                "sure that nothing else starts or uses this server"
            )
        if load.adapter_digest != expected.adapter_digest:
            raise EvaluationError(
                f"no score: the server answered as {load.shown}, not as {expected.shown}; only requests for "
                f"{DEFAULT_MODEL!r} get the adapter, any other name loads a model without it"
            )


def adapter_digest(adapter: Path) -> str:
    """Hex sha256 of the weights that mlx_lm loads from an adapter's directory."""
    with (adapter / "adapters.safetensors").open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()


def _canary(choice: JsonObject) -> Canary:
    message, logprobs = choice.get("message"), choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    entries = [entry for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []
    return Canary(
        tokens=tuple(int(token) for entry in entries if isinstance(token := entry.get("id"), int)),
        logprobs=tuple(float(value) for entry in entries if isinstance(value := entry.get("logprob"), int | float)),
        text=_text(message) if isinstance(message, dict) else "",
    )


def _text(message: JsonObject) -> str:
    """Text and calls, without the calls' ids, which are random."""
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return f"{message.get('reasoning') or ''}{message.get('content') or ''}{functions or ''}"
