"""Proof of which weights answer: canary questions at temperature 0, asked of the base and of the adapter.

A server can answer for other weights than one believes: mlx_lm answers a request that names the model's own path
without its adapter, and an adapter whose file holds nothing changes nothing. Scores of such answers are worse than
none. So the same questions go to both, always as DEFAULT_MODEL, and what comes back must differ by more than a server
differs from itself.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from config.endpoint.client import complete
from config.errors import EvaluationError
from config.records import DEFAULT_MODEL, JsonObject

QUESTIONS = (
    "Which file defines the class Task?",
    "How many Python files are there in this project?",
    "What is the capital of France?",
)
TOKENS = 16  # of each answer
EXACT: JsonObject = {"temperature": 0.0, "logprobs": True}  # asked of mlx_lm only: hosted servers refuse either
SECONDS = 300.0  # one answer; a cold 30B model takes its time
SMALLEST = 1e-4  # difference in log probability that float32 sums in another order do not make
DIFFERENT_TOKENS = float("inf")  # the distance of answers that are not the same tokens
NOISE_FACTOR = 10.0  # how far the adapter must stand out from what the base differs from itself


@dataclass(frozen=True)
class Canary:
    """One answer, token by token; `said` where the server gives no tokens."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    said: str

    def distance(self, other: "Canary") -> float:
        """The largest difference in log probability; OTHER_WORDS when other tokens were chosen."""
        if (self.tokens, self.said) != (other.tokens, other.said):
            return DIFFERENT_TOKENS
        return max((abs(a - b) for a, b in zip(self.logprobs, other.logprobs, strict=True)), default=0.0)


Canaries = tuple[Canary, ...]


def canaries(base_url: str, *, model: str = DEFAULT_MODEL) -> Canaries:
    """The answers to QUESTIONS, one after the other, for requests in one batch disturb each other's last digits.

    Raises EndpointError.
    """
    return tuple(
        _canary(complete(base_url, question, max_tokens=TOKENS, timeout=SECONDS, model=model, options=EXACT))
        for question in QUESTIONS
    )


def distances(one: Canaries, other: Canaries) -> tuple[float, ...]:
    """How far the answers to each question are apart."""
    return tuple(mine.distance(theirs) for mine, theirs in zip(one, other, strict=True))


def prove_constant(asked: Sequence[Canaries], *, who: str) -> tuple[float, ...]:
    """The noise of a server: how far its answers to each question are apart when asked at different times.

    One question may be a close call between two words. Raises EvaluationError when every one was answered in other
    words, for then other weights may have answered meanwhile.
    """
    apart = [distances(one, other) for one, other in pairwise(asked)]
    noise = tuple(max(question) for question in zip(*apart, strict=True))
    if min(noise) == DIFFERENT_TOKENS:
        raise EvaluationError(
            f"{who} answered every canary question in other words before and after the prompts, at temperature 0; "
            "it cannot be said which weights were scored. Is something else using this server?"
        )
    return noise


def prove_different(base: Canaries, adapted: Canaries, *, noise: Sequence[float], adapter: Path) -> str:
    """How the adapter was seen to answer, in words for the report; EvaluationError when it was not."""
    steady = [
        (distance, max(SMALLEST, NOISE_FACTOR * own))
        for distance, own in zip(distances(base, adapted), noise, strict=True)
        if own != DIFFERENT_TOKENS
    ]
    if not any(distance > enough for distance, enough in steady):
        raise EvaluationError(
            f"no score: with the adapter {str(adapter)!r} the model answers {len(steady)} questions as it does without "
            f"(largest difference in log probability {max(distance for distance, _ in steady):.1e}). "
            "Either the adapter was not loaded or it was not trained; look at its adapter_config.json and its losses"
        )
    words = sum(distance == DIFFERENT_TOKENS for distance, _ in steady)
    digits = max((distance for distance, _ in steady if distance != DIFFERENT_TOKENS), default=None)
    others = "" if digits is None else f", the others with log probabilities up to {digits:.2g} apart"
    own = max(one for one in noise if one != DIFFERENT_TOKENS)
    return (
        f"{len(noise)} canary questions at temperature 0, {TOKENS} tokens each, were asked of {DEFAULT_MODEL!r} "
        f"without the adapter and with it: {words} answered in other words{others}. Asked again after the prompts, the "
        f"models repeated themselves (log probabilities within {own:.1e}). Adapter weights: sha256 "
        f"{adapter_digest(adapter)}."
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
        said=_said(message) if isinstance(message, dict) else "",
    )


def _said(message: JsonObject) -> str:
    """Words and calls; a call's id is drawn anew each time."""
    called = message.get("tool_calls")
    functions = [call.get("function") for call in called if isinstance(call, dict)] if isinstance(called, list) else []
    return f"{message.get('reasoning') or ''}{message.get('content') or ''}{functions or ''}"
