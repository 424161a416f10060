"""Who is told of each model request: what the worker's controller measures by."""

from collections.abc import Callable
from typing import Protocol


class RequestEnded(Protocol):
    """Called when a request has ended; calls after the first change nothing."""

    def __call__(self, output_tokens: int, failure: str | None, first_token: float | None = None, /) -> None:
        """`failure`: what the endpoint did, "timeout" or "error"; `first_token`: after so many seconds, if any came."""


RequestObserver = Callable[[], RequestEnded]
"""Called when a request begins."""


def no_observer() -> RequestEnded:
    """Nobody is told."""
    return lambda output_tokens, failure, first_token=None: None  # noqa: ARG005 - the signature is the protocol
