"""A minimal client of an OpenAI-compatible server, for health checks and identity checks."""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from urllib.error import URLError
from urllib.parse import SplitResult, unquote
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

from config.address import http_parts, is_loopback, without_secret
from config.errors import EndpointError, FailureKind
from config.local_network import local_network_hint
from config.records import DEFAULT_MODEL, JsonObject

Answer = tuple[int, str]  # HTTP status and body

# How servers say that they do not have the requested model: mlx_lm (a hub id that cannot be downloaded), Ollama, vLLM,
# OpenAI, LM Studio.
_NO_MODEL = re.compile(
    r"repository not found|model.{0,80}(not found|does not exist)|no such model|unknown model"
    r"|invalid model identifier|no models loaded|cannot find the requested files in the local cache"
    r"|cannot find an appropriate cached snapshot|cannot find the appropriate snapshot folder|repo id must be",
    re.IGNORECASE,
)
_SNAPSHOT = re.compile(r"-\d{4}-?\d{2}-?\d{2}")  # clouds answer "gpt-4o" with "gpt-4o-2024-08-06"


def names_no_model(text: str) -> bool:
    """Whether an endpoint's error says that it does not have the requested model."""
    return _NO_MODEL.search(text) is not None


def is_same_model(requested: str, served: str) -> bool:
    """Whether the model named in a response is the requested one, or a dated snapshot of it."""
    dated = served.startswith(requested) and _SNAPSHOT.fullmatch(served[len(requested) :])
    return requested in (DEFAULT_MODEL, served) or bool(dated)


MOST_BYTES = 16 << 20  # of a response; an answer of 100,000 tokens has 1 MB


@dataclass(frozen=True)
class Response:
    """A whole HTTP response."""

    status: int
    body: str
    headers: Mapping[str, str]
    """names in lower case"""


def request(url: str, *, body: JsonObject | None = None, api_key: str | None = None, timeout: float) -> Answer:
    """Send a GET, or a POST with a JSON body; `timeout` in seconds applies to connecting and to each read.

    Returns any status except a redirect. Raises EndpointError: unreachable for an invalid URL, no connection or a lost
    connection; wedged after the timeout.
    """
    response = respond(url, body=body, api_key=api_key, timeout=timeout)
    return response.status, response.body


def respond(url: str, *, body: JsonObject | None = None, api_key: str | None = None, timeout: float) -> Response:
    """The same as `request`, with the headers of the response."""
    parts = _parts(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without user name and password
    data = None if body is None else json.dumps(body).encode()
    headers = {"User-Agent": "applejack", "Content-Type": "application/json", **_authorization(parts, api_key)}
    try:
        http_request = Request(shown, data, headers)  # noqa: S310 - _parts allows only http and https
        with _opener(is_loopback(parts.hostname)).open(http_request, timeout=timeout) as response:
            status, content = response.status, response.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise too_long(shown)
            if response.length:  # unlike a read without a limit, this one does not notice
                raise IncompleteRead(content, response.length)
            text = content.decode(errors="replace")
            received = {name.lower(): value for name, value in response.headers.items()}
    except (OSError, HTTPException, ValueError) as error:
        raise _request_error(shown, error, timeout) from error
    # Redirects are not followed: urllib would turn the POST into a GET and send the API key to another host.
    if status // 100 == 3 and (location := received.get("location")):
        message = f"{shown!r} redirects to {location!r}; configure that address"
        raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR, status=status)
    return Response(status, text, received)


def too_long(shown: str) -> EndpointError:
    """The error for a response of more than MOST_BYTES."""
    message = f"{shown!r} sent more than {MOST_BYTES >> 20} MB for one answer"
    return EndpointError(message, kind=FailureKind.ENDPOINT_ERROR)


def complete(
    base_url: str,
    question: str,
    *,
    max_tokens: int,
    timeout: float,
    model: str = DEFAULT_MODEL,
    api_key: str | None = None,
    same_model: bool = False,
    options: JsonObject | None = None,
) -> JsonObject:
    """Return the first choice of one chat completion; `options` are additional fields of the request.

    `base_url` ends in /v1. Raises EndpointError, which quotes the response if it is not a completion. With
    `same_model`, also raises it if the response names a different model than the requested one.
    """
    body: JsonObject = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        **(options or {}),
    }
    _parts(base_url)  # checked here, so that the message quotes it as given
    url = f"{base_url.rstrip('/')}/chat/completions"
    status, text = request(url, body=body, api_key=api_key, timeout=timeout)
    answer = _object(text) if status == HTTPStatus.OK else {}
    choices, served, shown = answer.get("choices"), answer.get("model"), without_secret(base_url)
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        message = f"{shown!r} answered {status} with {text[:300]!r} instead of a completion"
        kind = FailureKind.WRONG_MODEL if names_no_model(text) else FailureKind.ENDPOINT_ERROR
        raise EndpointError(message, kind=kind, status=status)
    if same_model and isinstance(served, str) and served and not is_same_model(model, served):
        message = f"requested model {model!r}, but {shown!r} serves {served!r}; load {model!r} there"
        raise EndpointError(message, kind=FailureKind.WRONG_MODEL, status=status)
    return choice


def _parts(url: str) -> SplitResult:
    if parts := http_parts(url):
        return parts
    message = f"{without_secret(url)!r} is not of the form http://HOST:PORT/PATH"
    raise EndpointError(message, kind=FailureKind.ENDPOINT_UNREACHABLE)


def _authorization(parts: SplitResult, api_key: str | None) -> dict[str, str]:
    """A user in the URL takes precedence over the key, as in the agent's HTTP client."""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


@cache  # loading CA certificates takes 40 ms
def _opener(local: bool) -> OpenerDirector:
    """An opener that neither follows redirects nor raises for a status.

    Uses the environment's proxy, as the agent's client does, except for local addresses.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler({} if local else None), HTTPHandler(), HTTPSHandler(), UnknownHandler()):
        opener.add_handler(handler)
    return opener


def _request_error(shown: str, error: OSError | HTTPException | ValueError, timeout: float) -> EndpointError:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        message = f"{shown!r} did not respond within {timeout:g} s"
        return EndpointError(message, kind=FailureKind.ENDPOINT_WEDGED)
    if isinstance(cause, ValueError):  # its text may contain the key
        cause = "the address or the key contains characters that HTTP does not allow"
    message = f"{shown!r} cannot be reached: {cause or type(cause).__name__}{local_network_hint(error)}"
    return EndpointError(message, kind=FailureKind.ENDPOINT_UNREACHABLE)


def _object(text: str) -> JsonObject:
    """Parse a JSON object; {} if the text is not one."""
    with suppress(ValueError, RecursionError):
        answer = json.loads(text)
        if isinstance(answer, dict):
            return answer
    return {}
