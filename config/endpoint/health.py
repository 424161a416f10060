"""Whether an endpoint can serve a job now: one token within a deadline, from the model that was requested.

A 200 from /health or /v1/models proves nothing: mlx_lm sends it before its model is loaded.
"""

from dataclasses import dataclass

from config.endpoint.advice import remedy
from config.endpoint.client import complete
from config.errors import EndpointError, FailureKind

LOADING_SECONDS = 60.0  # one token of a large model that still has to be loaded


@dataclass(frozen=True)
class HealthCheck:
    """The result of one health check."""

    error: EndpointError | None = None

    @property
    def answers(self) -> bool:
        """Whether a token arrived."""
        return self.error is None

    @property
    def wedged(self) -> bool:
        """Whether the endpoint accepted the request and returned no token in time."""
        return self.error is not None and self.error.kind is FailureKind.ENDPOINT_WEDGED


def health_check(base_url: str, *, model: str, api_key: str | None = None, seconds: float) -> HealthCheck:
    """Request one token of `model` within `seconds`; another model in the response is an error."""
    try:
        complete(base_url, "Hello", max_tokens=1, timeout=seconds, model=model, api_key=api_key, same_model=True)
    except EndpointError as error:
        return HealthCheck(error)
    return HealthCheck()


def require_answer(base_url: str, *, model: str, api_key: str | None = None, seconds: float = LOADING_SECONDS) -> None:
    """Request one token before a run is queued; EndpointError in one line, with a remedy, when none arrives."""
    try:
        complete(base_url, "Hello", max_tokens=1, timeout=seconds, model=model, api_key=api_key, same_model=True)
    except EndpointError as error:
        advice = remedy(base_url, error, model=model, api_key=api_key)
        raise EndpointError(f"the endpoint {error}; {advice}", kind=error.kind, status=error.status) from error
