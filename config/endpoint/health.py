"""Whether an endpoint can do a job now: a token within a deadline, from the model that is asked for."""

from dataclasses import dataclass

from config.endpoint.client import complete
from config.errors import EndpointError, FailureKind


@dataclass(frozen=True)
class HealthCheck:
    """What came of asking."""

    error: EndpointError | None = None

    @property
    def answers(self) -> bool:
        """A token came."""
        return self.error is None

    @property
    def wedged(self) -> bool:
        """It took the question and gave no token in time."""
        return self.error is not None and self.error.kind is FailureKind.ENDPOINT_WEDGED


def health_check(base_url: str, *, model: str, api_key: str | None = None, seconds: float) -> HealthCheck:
    """Ask for one token, of this model, within `seconds`. A 200 from /health or /v1/models is no proof."""
    try:
        complete(base_url, "Hello", max_tokens=1, timeout=seconds, model=model, api_key=api_key, same_model=True)
    except EndpointError as error:
        return HealthCheck(error)
    return HealthCheck()
