"""Who is told of each model request: what the worker's controller measures by."""

from collections.abc import Callable

Ended = Callable[[int, str | None], None]
"""(output tokens, None or what the endpoint did: "timeout" or "error"); calls after the first change nothing"""

Watch = Callable[[], Ended]
"""Called when a request begins."""


def unwatched() -> Ended:
    """Nobody is told."""
    return lambda output_tokens, failure: None  # noqa: ARG005 - the signature is the protocol
