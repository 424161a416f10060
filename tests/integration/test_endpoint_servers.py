"""Other model servers: recognised by what they send, and a fault is answered with the remedy that fits them."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from config.endpoint.advice import remedy
from config.endpoint.client import is_same_model, names_no_model
from config.endpoint.health import health_check, require_answer
from config.endpoint.server_kind import ServerKind, detect
from config.endpoint.tool_check import TOOL
from config.errors import EndpointError, FailureKind
from config.process import free_port
from config.records import JsonObject, Limits
from producer.doctor.endpoint import Endpoint
from tests.support.http_server import QuietHandler
from tests.support.scripted_endpoint import Call, Reply, ScriptedEndpoint, call, calls, fails, says
from tests.support.served_answers import SERVED, replaying
from worker.generate.agent import converse, endpoint_teacher

LLAMA_CPP = SERVED / "llama_cpp"  # recorded from llama.cpp's server with SmolLM2-135M, see the README there
NOT_FOUND = (404, '{"detail": "Not Found"}')
Pages = Mapping[str, tuple[int, str]]


@contextmanager
def pages(
    answers: Pages, *, server: str = "uvicorn", other: tuple[int, str] = NOT_FOUND, host: str = ""
) -> Iterator[str]:
    """A server with one answer for each path, whatever the method; its root address."""

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        server_version, sys_version = server, ""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers.get(self.path, other)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.do_GET()

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with Server((host or "127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://{f'[{host}]' if host else '127.0.0.1'}:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


def listing(*ids: str, **fields: object) -> tuple[int, str]:
    return 200, json.dumps({"object": "list", "data": [{"id": name, "object": "model", **fields} for name in ids]})


UNEXPECTED = (200, '{"error":"Unexpected endpoint or method. (GET /x)"}')
SERVERS = [
    # (what it sends, its Server header, the kind, does it serve "m", does it serve default_model)
    ({"/v1/models": listing("m", "org/cached")}, "BaseHTTP/0.6 Python/3.11.7", ServerKind.MLX_LM, True, True),
    ({"/v1/models": (200, "")}, "BaseHTTP/0.6 Python/3.11.7", ServerKind.MLX_LM, None, True),  # no hub cache there
    ({"/v1/models": listing("x", owned_by="vllm", max_model_len=4096)}, "uvicorn", ServerKind.VLLM, False, False),
    ({"/v1/models": listing("m", owned_by="me")}, "uvicorn", ServerKind.LLAMA_CPP_PYTHON, True, True),
    ({"/v1/models": listing("m", owned_by="organization_owner")}, "", ServerKind.LM_STUDIO, True, True),
    ({"/v1/models": listing("m:latest", owned_by="library")}, "", ServerKind.OLLAMA, True, False),
    (  # Ollama without a model
        {"/v1/models": (200, '{"object":"list","data":null}'), "/api/version": (200, '{"version":"0.14.1"}')},
        *("", ServerKind.OLLAMA, False, False),
    ),
    ({"/v1/models": listing("m-2026-05-01", owned_by="system")}, "cloudflare", ServerKind.OTHER, True, None),
    ({}, "nginx", ServerKind.OTHER, None, None),  # a cloud that does not list its models
]


@pytest.mark.parametrize(("answers", "header", "kind", "named", "default"), SERVERS)
def test_a_server_is_recognised_by_what_it_sends(
    answers: Pages, header: str, kind: ServerKind, named: bool | None, default: bool | None
) -> None:
    with pages(answers, server=header) as root:
        found = detect(f"{root}/v1", seconds=5)
    assert (found.kind, found.serves("m"), found.serves("default_model")) == (kind, named, default)


def test_llama_cpp_is_recognised_and_its_context_read() -> None:
    recorded = (200, (LLAMA_CPP / "models.json").read_text())
    with pages({"/v1/models": recorded}, server="llama.cpp") as root:
        found = detect(f"{root}/v1", seconds=5)
    assert (found.kind, found.models, found.context) == (ServerKind.LLAMA_CPP, ("smollm2",), 4096)


def test_lm_studio_without_v1_is_recognised_by_its_own_words() -> None:
    """It answers every unknown path with status 200."""
    with pages({"/v1/models": listing("m", owned_by="organization_owner")}, other=UNEXPECTED) as root:
        assert detect(root, seconds=5).kind is ServerKind.LM_STUDIO
        assert advice(root) == f"give the address with its path: {root}/v1"


def advice(url: str, *, model: str = "m", key: str | None = None) -> str:
    """The remedy for what a health check finds there."""
    error = health_check(url, model=model, api_key=key, seconds=5).error
    assert error is not None
    told = remedy(url, error, model=model, api_key=key)
    assert "\n" not in told
    return told


VLLM_404 = (404, '{"object":"error","message":"The model `m` does not exist.","type":"NotFoundError","code":404}')
OLLAMA_404 = (404, '{"error":{"message":"model \\"m\\" not found, try pulling it first","type":"not_found_error"}}')
LM_STUDIO_404 = (404, '{"error":{"message":"No models loaded. Please load a model in the developer page."}}')
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("answers", "server", "said"),
    [
        # the model is not there
        (
            {"/v1/models": listing("x", owned_by="vllm"), CHAT: VLLM_404},
            *("uvicorn", "this vLLM has 'x': give --model one of these, or start `vllm serve MODEL`"),
        ),
        (
            {"/v1/models": listing("x:7b", owned_by="library"), CHAT: OLLAMA_404},
            *("", "this Ollama has 'x:7b': give --model one of these, or download it there: `ollama pull MODEL`"),
        ),
        (
            {"/v1/models": (200, '{"object":"list","data":[]}'), "/api/v0/models": (200, '{"data":[{"state":""}]}'),
             CHAT: LM_STUDIO_404},
            *("", "this is LM Studio: load it there: `lms load MODEL`"),
        ),
        # it is not loaded yet
        (
            {"/v1/models": (503, (LLAMA_CPP / "loading.json").read_text()),
             CHAT: (503, (LLAMA_CPP / "loading.json").read_text())},
            *("llama.cpp", "wait until the server has loaded its model, and try again"),
        ),
        # another program on this port
        ({}, "nginx/1.27", "another program (nginx/1.27) listens on this port, or the path is wrong"),
        # a server that is broken
        (
            {"/v1/models": listing("m", owned_by="vllm"), CHAT: (500, '{"detail": "EngineDead"}')},
            *("uvicorn", "look at the log of this vLLM and restart it"),
        ),
        ({CHAT: (401, "{}")}, "cloudflare", "set APPLEJACK_ENDPOINT_KEY to the server's API key"),
        ({CHAT: (429, "{}")}, "cloudflare", "wait, or start the workers with a lower --concurrency"),
    ],
)  # fmt: skip
def test_a_fault_is_answered_with_the_remedy_that_fits_the_server(answers: Pages, server: str, said: str) -> None:
    with pages(answers, server=server, other=(404, "<html>Not Found</html>")) as root:
        assert advice(f"{root}/v1").startswith(said)


def test_a_refused_key_is_not_asked_for_again() -> None:
    with pages({CHAT: (401, "{}")}) as root:
        assert advice(f"{root}/v1", key="sk-wrong") == "correct the key in APPLEJACK_ENDPOINT_KEY"


def test_an_address_without_v1_is_corrected() -> None:
    with pages({"/v1/models": listing("m", owned_by="vllm")}) as root:
        assert advice(root) == f"give the address with its path: {root}/v1"


def test_the_other_loopback_address_is_found() -> None:
    """`localhost` may mean ::1, where many servers do not listen; and the other way round."""
    with pages({}) as root:
        port = root.rpartition(":")[2]
        assert advice(f"http://[::1]:{port}/v1") == (
            f"a server listens on 127.0.0.1 only: give http://127.0.0.1:{port}/v1"
        )
    with pages({}, host="::1") as root:
        port = root.rpartition(":")[2]
        assert advice(f"http://127.0.0.1:{port}/v1") == f"a server listens on ::1 only: give http://[::1]:{port}/v1"


def test_a_wrong_port_is_answered_with_the_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pages({}) as root:
        port = int(root.rpartition(":")[2])
        monkeypatch.setattr("config.endpoint.advice.DEFAULT_PORTS", {port: "Ollama"})
        wrong = free_port()
        assert advice(f"http://127.0.0.1:{wrong}/v1") == (
            f"nothing listens on port {wrong}; port {port} (Ollama) answers: give http://127.0.0.1:{port}/v1"
        )
        monkeypatch.setattr("config.endpoint.advice.DEFAULT_PORTS", {})
        assert advice(f"http://127.0.0.1:{wrong}/v1").startswith("start the model server there")


def test_a_command_that_needs_an_endpoint_says_the_remedy_in_its_one_line() -> None:
    with (
        pages({"/v1/models": listing("x", owned_by="vllm"), CHAT: VLLM_404}) as root,
        pytest.raises(EndpointError) as raised,
    ):
        require_answer(f"{root}/v1", model="m")
    assert raised.value.kind is FailureKind.WRONG_MODEL
    assert str(raised.value).startswith(f"the endpoint '{root}/v1' answered 404 with ")
    assert "; this vLLM has 'x': give --model one of these" in str(raised.value)
    assert "\n" not in str(raised.value)


LOOK = calls(call("count_lines", path="notes.txt"))


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        ([LOOK, says("It has 417 lines.")], []),
        ([replace(LOOK, plain=True), says("417")], []),  # a server that does not stream together with tools
        ([LOOK, says("It has many lines.")], ["endpoint_result_unused"]),
        ([fails(400, '"auto" tool choice requires --enable-auto-tool-choice')], ["endpoint_tools_refused"]),  # vLLM
        ([fails(400, "registry.ollama.ai/library/x does not support tools")], ["endpoint_tools_refused"]),  # Ollama
        ([fails(500, "tools param requires --jinja flag")], ["endpoint_tools_refused"]),  # llama.cpp
        ([LOOK, fails(400, "unexpected role tool")], ["endpoint_tools_refused"]),
        ([says("I cannot."), says("I")], ["endpoint_tools_ignored"]),  # the same number of prompt tokens
        ([Reply(finish_reason="tool_calls"), Reply(body="{}")], ["endpoint_tools_refused"]),
        ([calls(Call("count_lines", '{"path": "not')), says("x")], ["endpoint_no_call"]),
        ([calls(call("count_lines", file="x")), says("x")], ["endpoint_no_call"]),
    ],
)
def test_a_tool_round_trip_finds_its_fault(replies: list[Reply], found: list[str]) -> None:
    with ScriptedEndpoint(replies) as server:
        findings = list(Endpoint(server.base_url, "m", None, configured=True, seconds=5).tools())
    assert [finding.name for finding in findings] == found
    for finding in findings:
        assert "\n" not in finding.message + finding.remedy


def test_llama_cpps_streams_become_a_conversation() -> None:
    """It sends a call's arguments in pieces, the id with the first only, and the usage in a chunk without choices."""
    requests: list[JsonObject] = []
    tool = TOOL["function"]
    assert isinstance(tool, dict)
    read: list[JsonObject] = []

    def count_lines(arguments: JsonObject) -> str:
        read.append(arguments)
        return "417"

    streams = [(LLAMA_CPP / name).read_bytes() for name in ("call.sse", "answer.sse")]
    with replaying(streams, requests) as url:
        said = asyncio.run(
            converse(
                "How many lines does notes.txt have?",
                system_prompt="",
                teacher=endpoint_teacher(url, model="smollm2", sampling=None, request_seconds=10),
                limits=Limits(),
                schemas=[TOOL],
                tools={"count_lines": count_lines},
            )
        )
    assert said.error is None
    assert [message.role for message in said.messages] == ["user", "assistant", "tool", "assistant"]
    [made] = said.messages[1].tool_calls
    assert (made.name, made.arguments, read) == ("count_lines", {"path": "notes.txt"}, [{"path": "notes.txt"}])
    assert said.messages[2].tool_call_id == made.id
    assert said.finish_reasons == ("tool_calls", "length")
    assert said.usage.input_tokens > 466


@pytest.mark.parametrize(
    ("requested", "served", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),  # clouds name the snapshot
        ("x", "x-20260501", True),
        ("default_model", "anything", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("qwen2.5-coder", "qwen2.5-coder:7b", False),
        ("smol", "smollm2", False),
    ],
)
def test_a_dated_snapshot_is_the_model_that_was_requested(requested: str, served: str, same: bool) -> None:
    assert is_same_model(requested, served) is same


@pytest.mark.parametrize("body", [VLLM_404[1], OLLAMA_404[1], LM_STUDIO_404[1]])
def test_the_words_for_a_missing_model_are_known(body: str) -> None:
    assert names_no_model(body)
    assert not names_no_model("404 page not found")
