"""Maps the exceptions of a rollout to failure kinds. Only this module handles the agent library's exceptions.

endpoint_unreachable: no connection, or one lost before the answer.
endpoint_wedged: connected, but no data for request_seconds.
timeout: the job's own wall time ran out.
"""

import re

from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)

from config.endpoint.client import names_no_model
from config.errors import EndpointError, FailureKind, GenerationError, RolloutError

QUOTED_CHARS = 500  # of an endpoint's error body
_CONTEXT = re.compile(r"context (length|window|size)|maximum context|too many tokens|prompt is too long", re.I)


def to_generation_error(raised: Exception, *, seconds: float | None) -> GenerationError:
    """The failure behind an exception.

    Args:
        seconds: the job's wall time, if it ran out.
    """
    if seconds is not None:
        return RolloutError(f"the job's time of {seconds:g} s ran out", kind=FailureKind.TIMEOUT)
    if isinstance(raised, ExceptionGroup) and len(raised.exceptions) == 1:
        return to_generation_error(raised.exceptions[0], seconds=None)
    if isinstance(raised, GenerationError):
        return raised
    if isinstance(raised, ModelAPIError):
        return _endpoint_error(raised)
    if isinstance(raised, UsageLimitExceeded):
        return RolloutError(_first_sentence(raised), kind=FailureKind.REQUEST_LIMIT)
    if isinstance(raised, UnexpectedModelBehavior):
        return _model_error(raised)
    return RolloutError(f"{type(raised).__name__}: {_quoted(str(raised))}", kind=FailureKind.INTERNAL)


def _endpoint_error(raised: ModelAPIError) -> EndpointError:
    if isinstance(raised, ModelTimeoutError) and raised.phase not in ("connect", "pool"):
        return EndpointError(
            "the endpoint accepted the request and did not answer in time; check that its generation thread is alive",
            kind=FailureKind.ENDPOINT_WEDGED,
        )
    if isinstance(raised, ModelConnectionError):
        reason = _innermost(raised)
        return EndpointError(f"no answer from the endpoint: {reason}", kind=FailureKind.ENDPOINT_UNREACHABLE)
    if not isinstance(raised, ModelHTTPError):
        return EndpointError(_quoted(str(raised)), kind=FailureKind.ENDPOINT_ERROR)
    body = _quoted(str(raised.body))
    message = f"the endpoint answered {raised.status_code}: {body}"
    if isinstance(raised, ModelContextWindowExceededError) or _CONTEXT.search(body):
        return EndpointError(message, kind=FailureKind.CONTEXT_OVERFLOW)
    if raised.status_code in (400, 404) and names_no_model(body):
        return EndpointError(message, kind=FailureKind.WRONG_MODEL)
    return EndpointError(message, kind=FailureKind.ENDPOINT_ERROR)


def error_in_stream(error: object) -> EndpointError:
    """The error that an endpoint reports within a stream, after status 200."""
    reason = error.get("message") if isinstance(error, dict) else error
    quoted = _quoted(str(reason or error))
    message = f"the endpoint interrupted its answer: {quoted}"
    if _CONTEXT.search(quoted):
        return EndpointError(message, kind=FailureKind.CONTEXT_OVERFLOW)
    if names_no_model(quoted):
        return EndpointError(message, kind=FailureKind.WRONG_MODEL)
    return EndpointError(message, kind=FailureKind.ENDPOINT_ERROR)


def _model_error(raised: UnexpectedModelBehavior) -> GenerationError:
    if "exceeded max retries" not in raised.message:
        return EndpointError(_quoted(str(raised)), kind=FailureKind.ENDPOINT_ERROR)
    last = str(raised.__cause__ or raised)
    kind = FailureKind.MALFORMED_TOOL_CALL if "Invalid JSON" in last else FailureKind.TOOL_RETRIES_EXCEEDED
    return RolloutError(f"{_first_sentence(raised)} Last error: {_quoted(last)}", kind=kind)


def _first_sentence(raised: Exception) -> str:
    return str(raised).split(". ")[0].rstrip(".") + "."


def _innermost(raised: BaseException) -> str:
    while raised.__cause__ is not None or raised.__context__ is not None:
        raised = raised.__cause__ or raised.__context__ or raised
    return str(raised) or type(raised).__name__


def _quoted(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= QUOTED_CHARS else f"{text[:QUOTED_CHARS]} [...]"
