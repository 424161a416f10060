"""Whether a model endpoint answers, asked before a run is queued for it."""

from config.endpoint.client import complete
from config.errors import EndpointError

SECONDS = 60.0  # one token of a large model that still has to be loaded


def require_answer(endpoint: str, *, model: str, key: str | None = None, seconds: float = SECONDS) -> None:
    """Ask for one token; EndpointError in one line when none comes back.

    A 200 from /health or /v1/models is no proof: mlx_lm gives it before its model is loaded.
    """
    try:
        complete(endpoint, "Hello", max_tokens=1, timeout=seconds, model=model, api_key=key)
    except EndpointError as error:
        message = f"the endpoint {error}; start its server, or give another --endpoint"
        raise EndpointError(message, kind=error.kind) from error
