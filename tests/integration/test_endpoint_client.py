"""Single questions over real HTTP: every way of not being answered is one line with its kind."""

import base64
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler

import pytest

from config.endpoint.client import _opener, complete, request
from config.errors import EndpointError, FailureKind
from tests.support.http_server import QuietHandler, serving
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, drops, fails, says, stalls

SECONDS = 5.0


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without a proxy, read anew."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    _opener.cache_clear()
    yield monkeypatch
    _opener.cache_clear()


def moved(to: str) -> AbstractContextManager[str]:
    """A server that sends everybody elsewhere."""

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(302)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return serving(Handler)


def refusal(base_url: str, *, timeout: float = SECONDS, api_key: str | None = None) -> EndpointError:
    with pytest.raises(EndpointError) as raised:
        complete(base_url, "Hello", max_tokens=1, timeout=timeout, api_key=api_key)
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080/v1",  # the scheme forgotten: "localhost" is read as one
        "127.0.0.1:8080/v1",
        "http://",
        "http:///v1",
        "http://127.0.0.1:port/v1",
        "http://127.0.0.1:80800/v1",  # more than a port can be
        "http://127.0.0.1:0/v1",
        "http://[::1/v1",  # half of an IPv6 address
        "file:///etc/hosts?",  # must not be read
        "",
    ],
)
def test_what_is_no_address_is_quoted(url: str) -> None:
    error = refusal(url)
    assert error.kind is FailureKind.ENDPOINT_UNREACHABLE
    assert str(error) == f"{url!r} is not of the form http://HOST:PORT/PATH"


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/v1",  # no name that can be looked up
        "http://127.0.0.1:1/größe/v1",
        "http://127.0.0.1:1/a b/v1",
        "http://127.0.0.1:1/v1",  # nobody listens
        "https://127.0.0.1:1/v1",
    ],
)
def test_an_address_that_cannot_be_asked_is_unreachable(url: str) -> None:
    error = refusal(url)
    assert error.kind is FailureKind.ENDPOINT_UNREACHABLE
    assert str(error).startswith(f"'{url}/chat/completions' cannot be reached: ")


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (drops(), FailureKind.ENDPOINT_UNREACHABLE, "cannot be reached: Remote end closed"),
        (Reply(text="Hi", half=True), FailureKind.ENDPOINT_UNREACHABLE, "cannot be reached: IncompleteRead"),
        (stalls(3), FailureKind.ENDPOINT_WEDGED, "did not respond within 0.5 s"),
        (fails(500, "died\nhere"), FailureKind.ENDPOINT_ERROR, 'answered 500 with \'{"error": "died'),
        (Reply(body="{}"), FailureKind.ENDPOINT_ERROR, "answered 200 with '{}' instead of a completion"),
        (Reply(body='{"choices": [1]}'), FailureKind.ENDPOINT_ERROR, "instead of a completion"),
        (Reply(body="[]"), FailureKind.ENDPOINT_ERROR, "answered 200 with '[]' instead"),
        (Reply(body="<p>\nHi"), FailureKind.ENDPOINT_ERROR, r"answered 200 with '<p>\nHi' instead"),  # a web page
    ],
)
def test_each_way_of_giving_no_answer_has_its_kind(reply: Reply, kind: FailureKind, said: str) -> None:
    with ScriptedEndpoint([reply]) as server:
        error = refusal(server.base_url, timeout=0.5)
    assert error.kind is kind
    assert said in str(error)


@pytest.mark.parametrize("slash", ["", "/"])
def test_only_what_was_asked_for_is_sent(slash: str) -> None:
    with ScriptedEndpoint([says("Hi"), says("Hi")]) as server:
        for options in (None, {"logprobs": True}):
            complete(server.base_url + slash, "Hello", max_tokens=1, timeout=SECONDS, options=options)
    assert [sorted(body) for body in server.requests] == [
        ["max_tokens", "messages", "model"],  # a hosted server may refuse anything more
        ["logprobs", "max_tokens", "messages", "model"],
    ]


@pytest.mark.parametrize(
    ("user", "key", "sent"),
    [
        ("", None, None),
        ("", "sk-1", "Bearer sk-1"),
        ("me:p%40ss@", "sk-1", f"Basic {base64.b64encode(b'me:p@ss').decode()}"),  # as the agent's client has it
    ],
)
def test_who_asks(user: str, key: str | None, sent: str | None) -> None:
    with ScriptedEndpoint([says("Hi"), fails(401, "no")]) as server:
        url = server.base_url.replace("://", f"://{user}")
        complete(url, "Hello", max_tokens=1, timeout=SECONDS, api_key=key)
        error = refusal(url, api_key=key)
    assert [headers.get("authorization") for headers in server.headers] == [sent, sent]
    assert "p%40ss" not in str(error)


def test_a_key_that_cannot_be_sent_is_not_told() -> None:
    """http.client quotes a header with a line break in its error."""
    error = refusal("http://127.0.0.1:1/v1", api_key="sk-secret\n")
    assert "secret" not in str(error)


def test_a_proxy_of_the_environment_is_asked_for_other_machines_only(nowhere: pytest.MonkeyPatch) -> None:
    """Fails without is_loopback in config/endpoint/client.py, and without its ProxyHandler."""
    with ScriptedEndpoint([says("Hi")]) as proxy, ScriptedEndpoint([says("Hi")]) as server:
        nowhere.setenv("http_proxy", proxy.base_url)
        status, _ = request("http://elsewhere.invalid/v1/models", timeout=SECONDS)
        assert status == 404  # the proxy's own answer: the name leads nowhere
        status, _ = request(f"{server.base_url}/models", timeout=SECONDS)
        assert status == 200


def test_a_redirect_is_told_and_not_followed() -> None:
    with ScriptedEndpoint([says("Hi")]) as other, moved(to=f"{other.base_url}/chat/completions") as url:
        error = refusal(url, api_key="sk-1")
    assert error.kind is FailureKind.ENDPOINT_ERROR
    assert f"redirects to '{other.base_url}/chat/completions'" in str(error)
    assert other.headers == []  # the key was shown to nobody else


def test_another_model_is_an_error_where_one_is_asked_for_by_name() -> None:
    with ScriptedEndpoint([Reply(text="Hi", model="b"), Reply(text="Hi", model="b")]) as server:
        complete(server.base_url, "Hello", max_tokens=1, timeout=SECONDS, model="a")
        with pytest.raises(EndpointError, match=r"requested model 'a', but .* serves 'b'") as raised:
            complete(server.base_url, "Hello", max_tokens=1, timeout=SECONDS, model="a", same_model=True)
    assert raised.value.kind is FailureKind.WRONG_MODEL
