"""Single questions to an OpenAI-compatible server, without an agent: is it ready, and which weights answer."""

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import JsonValue

from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL, JsonObject

Answer = tuple[int, str]  # HTTP status and body


def request(
    url: str, *, body: JsonObject | None = None, headers: Mapping[str, str] | None = None, timeout: float
) -> Answer:
    """GET, or POST with a JSON body; `timeout` in seconds holds for connecting and for each read.

    Raises EndpointError when there is no connection, when it breaks before an answer, and when time is over.
    """
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=timeout)
    sent = {"Content-Type": "application/json", **(headers or {})}
    try:
        connection.request("GET" if body is None else "POST", parts.path, json.dumps(body) if body else None, sent)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except TimeoutError as error:
        kind = FailureKind.ENDPOINT_WEDGED
        raise EndpointError(f"{url!r} gave no answer within {timeout:g} s", kind=kind) from error
    except (OSError, http.client.HTTPException) as error:
        kind = FailureKind.ENDPOINT_UNREACHABLE
        raise EndpointError(f"{url!r} cannot be reached: {error or type(error).__name__}", kind=kind) from error
    finally:
        connection.close()


def complete(
    base_url: str,
    question: str,
    *,
    max_tokens: int,
    timeout: float,
    model: str = "default_model",
    api_key: str | None = None,
    same_model: bool = False,
) -> JsonObject:
    """The first choice of one chat completion at temperature 0, with log probabilities where the server gives them.

    `base_url` ends in /v1. Raises EndpointError, quoting the server's own words when it answers with an error, and
    with `same_model` when another model than the one asked for says that it answered.
    """
    body: JsonObject = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "logprobs": True,
    }
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    status, text = request(f"{base_url}/chat/completions", body=body, headers=headers, timeout=timeout)
    choice = _first_choice(text) if status == http.client.OK else None
    if choice is None:
        message = f"{base_url!r} answered {status} with {text[:300]!r} instead of a completion"
        raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR)
    served = json.loads(text).get("model")
    if same_model and model != DEFAULT_MODEL and served and served != model:
        message = f"asked for model {model!r}, {served!r} answered at {base_url!r}; load that model there"
        raise EndpointError(message, kind=FailureKind.WRONG_MODEL)
    return choice


def _first_choice(text: str) -> JsonObject | None:
    try:
        answer: JsonValue = json.loads(text)
    except ValueError:
        return None
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None
