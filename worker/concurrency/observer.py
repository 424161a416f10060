"""Callbacks around each model request, used to measure latency for the concurrency controller."""

from collections.abc import Callable
from typing import Protocol


class RequestEnded(Protocol):
    """Called when a request has ended; further calls have no effect."""

    def __call__(self, output_tokens: int, failure: str | None, first_token: float | None = None, /) -> None:
        """`failure`: "timeout" or "error" of the endpoint; `first_token`: seconds until it came, if it did."""


RequestObserver = Callable[[], RequestEnded]
"""Called when a request begins."""


def no_observer() -> RequestEnded:
    """Observer that ignores all requests."""
    return lambda output_tokens, failure, first_token=None: None  # noqa: ARG005 - the signature is the protocol
