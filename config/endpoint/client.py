"""Single questions to an OpenAI-compatible server, without an agent: is it ready, and which weights answer."""

import base64
import json
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import SplitResult, unquote
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

from config.address import http_parts, is_loopback, without_secret
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL, JsonObject

Answer = tuple[int, str]  # HTTP status and body


def request(url: str, *, body: JsonObject | None = None, api_key: str | None = None, timeout: float) -> Answer:
    """GET, or POST with a JSON body; `timeout` in seconds holds for connecting and for each read.

    Any status is an answer, but for a redirect. Raises EndpointError in one line: unreachable for a URL that cannot be
    asked, no connection, and one that breaks before an answer; wedged when time is over.
    """
    parts = _parts(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without user and password
    data = None if body is None else json.dumps(body).encode()
    headers = {"User-Agent": "applejack", "Content-Type": "application/json", **_authorization(parts, api_key)}
    try:
        asked = Request(shown, data, headers)  # noqa: S310 - _parts lets http and https through, nothing else
        with _opener(is_loopback(parts.hostname)).open(asked, timeout=timeout) as response:
            status, text = response.status, response.read().decode(errors="replace")
            moved = response.headers.get("Location")
    except (OSError, HTTPException, ValueError) as error:
        raise _unanswered(shown, error, timeout) from error
    if status // 100 == 3 and moved:  # not followed: a POST would arrive as a GET, and the key at another's door
        raise EndpointError(f"{shown!r} has moved to {moved!r}; ask there", kind=FailureKind.ENDPOINT_ERROR)
    return status, text


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
    """The first choice of one chat completion; `options` are what else is sent, for not every server takes them all.

    `base_url` ends in /v1. Raises EndpointError, quoting the server's own words when it answers with an error, and
    with `same_model` when another model than the one asked for says that it answered.
    """
    body: JsonObject = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        **(options or {}),
    }
    _parts(base_url)  # here, so that it is quoted as it was given
    url = f"{base_url.rstrip('/')}/chat/completions"
    status, text = request(url, body=body, api_key=api_key, timeout=timeout)
    answer = _object(text) if status == HTTPStatus.OK else {}
    choices, served, shown = answer.get("choices"), answer.get("model"), without_secret(base_url)
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        message = f"{shown!r} answered {status} with {text[:300]!r} instead of a completion"
        raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR)
    if same_model and model != DEFAULT_MODEL and served and served != model:
        message = f"asked for model {model!r}, {served!r} answered at {shown!r}; load that model there"
        raise EndpointError(message, kind=FailureKind.WRONG_MODEL)
    return choice


def _parts(url: str) -> SplitResult:
    if parts := http_parts(url):
        return parts
    message = f"{without_secret(url)!r} is not of the form http://HOST:PORT/PATH"
    raise EndpointError(message, kind=FailureKind.ENDPOINT_UNREACHABLE)


def _authorization(parts: SplitResult, api_key: str | None) -> dict[str, str]:
    """A user in the URL goes before the key, as the agent's HTTP client has it."""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


@cache  # whom to trust over https is read once: that takes 40 ms
def _opener(local: bool) -> OpenerDirector:
    """Without what follows redirects, and without what raises for a status.

    A proxy of the environment is asked as by the agent's client, but never for what runs on this machine.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler({} if local else None), HTTPHandler(), HTTPSHandler(), UnknownHandler()):
        opener.add_handler(handler)
    return opener


def _unanswered(shown: str, error: OSError | HTTPException | ValueError, timeout: float) -> EndpointError:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        message = f"{shown!r} gave no answer within {timeout:g} s"
        return EndpointError(message, kind=FailureKind.ENDPOINT_WEDGED)
    if isinstance(cause, ValueError):  # its words may hold the key
        cause = "address or key hold characters that HTTP cannot carry"
    message = f"{shown!r} cannot be reached: {cause or type(cause).__name__}"
    return EndpointError(message, kind=FailureKind.ENDPOINT_UNREACHABLE)


def _object(text: str) -> JsonObject:
    """The JSON object of an answer, an empty one when it is none."""
    with suppress(ValueError):
        answer = json.loads(text)
        if isinstance(answer, dict):
            return answer
    return {}
