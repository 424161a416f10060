"""Whether a model endpoint answers, asked before a run is queued for it."""

import json
import urllib.error
import urllib.request

from config.errors import EndpointError, FailureKind

SECONDS = 60.0  # one token of a large model that still has to be loaded


def require_answer(endpoint: str, *, model: str, key: str | None = None, seconds: float = SECONDS) -> None:
    """Ask for one token; EndpointError in one line when none comes back.

    A 200 from /health or /v1/models is no proof: mlx_lm gives it before its model is loaded.
    """
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    request = urllib.request.Request(  # noqa: S310 - the URL is the user's own
        f"{endpoint.rstrip('/')}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - as above
            choices = json.loads(answer.read()).get("choices")
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace").strip()
        raise refused(endpoint, f"answered {error.code}: {said}", FailureKind.ENDPOINT_ERROR) from error
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "reason", error)
        raise refused(endpoint, f"does not answer: {reason}", FailureKind.ENDPOINT_UNREACHABLE) from error
    if not choices:
        raise refused(endpoint, "answered without a completion", FailureKind.ENDPOINT_ERROR)


def refused(endpoint: str, what: str, kind: FailureKind) -> EndpointError:
    """The one line."""
    return EndpointError(f"the endpoint {endpoint!r} {what}; start its server, or give another --endpoint", kind=kind)
