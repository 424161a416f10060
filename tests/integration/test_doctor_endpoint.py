"""Doctor checks of a model endpoint over real HTTP: each fault is planted once; a healthy one has no finding."""

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
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, call, calls, drops, fails, says


def endpoint(url: str, *, model: str = DEFAULT_MODEL, configured: bool = True) -> Endpoint:
    return Endpoint(url, model, None, configured, seconds=5)


def listing(body: str) -> AbstractContextManager[str]:
    """A server that returns this body for every GET."""

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    return serving(Handler)


def test_a_healthy_endpoint_has_no_finding_and_an_unknown_context_length() -> None:
    with ScriptedEndpoint([says("Hi"), calls(call("count_lines", path="notes.txt")), says("It has 417.")]) as server:
        report = run_checks(endpoint(server.base_url).checks())
    assert report.findings == ()
    assert [skipped.check for skipped in report.not_checked] == ["endpoint context length"]


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        (drops, "endpoint_silent"),  # accepts the connection, sends no response
        (lambda: fails(500, "the generation thread has died"), "endpoint_error"),
        (lambda: Reply(body="{}"), "endpoint_error"),  # 200 without a completion
    ],
)
def test_an_endpoint_without_a_token_is_an_error(reply: Callable[[], Reply], name: str) -> None:
    with ScriptedEndpoint([reply()]) as server:
        (finding,) = endpoint(server.base_url).answers()
    assert (finding.name, finding.severity) == (name, "error")


@pytest.mark.parametrize(("configured", "findings"), [(True, ["endpoint_silent"]), (False, [])])
def test_an_unreachable_endpoint_is_an_error_if_it_is_configured(configured: bool, findings: list[str]) -> None:
    report = run_checks(endpoint(f"http://127.0.0.1:{free_port()}/v1", configured=configured).checks()[:1])
    assert [finding.name for finding in report.findings] == findings
    assert len(report.not_checked) == len(findings) ^ 1


def test_if_the_endpoint_is_dead_its_other_checks_are_skipped() -> None:
    report = check_endpoint(Settings(endpoint=f"http://127.0.0.1:{free_port()}/v1"))
    assert [finding.name for finding in report.findings] == ["endpoint_silent"]
    assert "endpoint context length" in [skipped.check for skipped in report.not_checked]


def test_an_empty_model_list_is_found() -> None:
    with listing("") as url:
        assert [finding.name for finding in endpoint(url).models()] == ["endpoint_no_models"]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"id": "m", "max_model_len": 4096}, ["endpoint_context"]),  # vLLM
        ({"id": "m", "meta": {"n_ctx": 2048}}, ["endpoint_context"]),  # llama.cpp
        ({"id": "m", "context_length": 32768}, []),
    ],
)
def test_a_short_context_is_found(entry: dict[str, object], found: list[str]) -> None:
    with listing(json.dumps({"data": [entry]})) as url:
        assert [finding.name for finding in endpoint(url).context()] == found


@pytest.mark.parametrize(
    ("model", "found"), [("/models/student", ["model_by_path"]), ("org/name", []), (DEFAULT_MODEL, [])]
)
def test_a_model_named_by_its_path_is_found(model: str, found: list[str]) -> None:
    assert [finding.name for finding in endpoint("http://127.0.0.1:1/v1", model=model).model_name()] == found
