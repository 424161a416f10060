"""The doctor on a model endpoint over real HTTP: each trap planted once, a sound one gives no finding."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler

import pytest

from config.diagnostics import run_checks
from config.process import free_port
from config.records import DEFAULT_MODEL
from config.settings import Settings
from producer.doctor import check_endpoint
from producer.doctor.endpoint import Endpoint
from tests.support.http_server import QuietHandler, serving
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, drops, fails, says


def endpoint(url: str, *, model: str = DEFAULT_MODEL, named: bool = True) -> Endpoint:
    return Endpoint(url, model, None, named, seconds=5)


def listing(body: str) -> AbstractContextManager[str]:
    """A server that answers every GET with this body."""

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    return serving(Handler)


def test_a_sound_endpoint_has_no_finding_and_its_context_stays_unknown() -> None:
    with ScriptedEndpoint([says("Hi")]) as server:
        seen = run_checks(endpoint(server.base_url).checks())
    assert seen.findings == ()
    assert [unseen.check for unseen in seen.not_checked] == ["endpoint's context"]


@pytest.mark.parametrize(
    ("reply", "trap"),
    [
        (drops, "endpoint_silent"),  # healthy HTTP, no answer
        (lambda: fails(500, "the generation thread has died"), "endpoint_error"),
        (lambda: Reply(body="{}"), "endpoint_error"),  # 200 without a completion
    ],
)
def test_an_endpoint_that_gives_no_token(reply: Callable[[], Reply], trap: str) -> None:
    with ScriptedEndpoint([reply()]) as server:
        (found,) = endpoint(server.base_url).answers()
    assert (found.name, found.severity) == (trap, "error")


@pytest.mark.parametrize(("named", "findings"), [(True, ["endpoint_silent"]), (False, [])])
def test_an_endpoint_that_is_not_there_is_an_error_when_somebody_named_it(named: bool, findings: list[str]) -> None:
    seen = run_checks(endpoint(f"http://127.0.0.1:{free_port()}/v1", named=named).checks()[:1])
    assert [one.name for one in seen.findings] == findings
    assert len(seen.not_checked) == len(findings) ^ 1


def test_what_is_behind_a_dead_endpoint_is_told_as_not_checked() -> None:
    seen = check_endpoint(Settings(endpoint=f"http://127.0.0.1:{free_port()}/v1"))
    assert [one.name for one in seen.findings] == ["endpoint_silent"]
    assert "endpoint's context" in [unseen.check for unseen in seen.not_checked]


def test_a_models_page_with_an_empty_body() -> None:
    with listing("") as url:
        assert [one.name for one in endpoint(url).models()] == ["endpoint_no_models"]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"id": "m", "max_model_len": 4096}, ["endpoint_context"]),  # vLLM
        ({"id": "m", "meta": {"n_ctx": 2048}}, ["endpoint_context"]),  # llama.cpp
        ({"id": "m", "context_length": 32768}, []),
    ],
)
def test_a_short_context(entry: dict[str, object], found: list[str]) -> None:
    with listing(json.dumps({"data": [entry]})) as url:
        assert [one.name for one in endpoint(url).context()] == found


@pytest.mark.parametrize(
    ("model", "found"), [("/models/student", ["model_by_path"]), ("org/name", []), (DEFAULT_MODEL, [])]
)
def test_a_model_named_by_its_path(model: str, found: list[str]) -> None:
    assert [one.name for one in endpoint("http://127.0.0.1:1/v1", model=model).asked()] == found
