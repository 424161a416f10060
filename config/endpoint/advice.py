"""What to do about an endpoint that does not answer as it should, in one line that fits the server found there."""

import socket
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from config.address import without_secret
from config.endpoint.client import Response, respond
from config.endpoint.server_kind import DEFAULT_PORTS, Server, ServerKind, detect, entries_of, root_of
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL

CONNECT_SECONDS = 0.5
ASK_SECONDS = 5.0
SHOWN_MODELS = 8
KEY = "APPLEJACK_ENDPOINT_KEY"
SERVE = "or let a worker start and supervise one: `applejack worker generate --serve MODEL`"

LOAD = {
    ServerKind.MLX_LM: "start mlx_lm's server with --model MODEL, and leave out --model here",
    ServerKind.LLAMA_CPP: "start llama-server with -m FILE.gguf --alias NAME, and give --model NAME",
    ServerKind.LLAMA_CPP_PYTHON: "start it with --model FILE.gguf --model_alias NAME, and give --model NAME",
    ServerKind.VLLM: "start `vllm serve MODEL` (--served-model-name sets another name)",
    ServerKind.LM_STUDIO: "load it there: `lms load MODEL` (`lms ls` lists what is downloaded)",
    ServerKind.OLLAMA: "download it there: `ollama pull MODEL` (`ollama list` shows the names)",
    ServerKind.OTHER: "give --model a name that the server has",
}
TOOLS = {
    ServerKind.MLX_LM: "serve a model whose chat template has tools; tokenizer_config.json may set tool_parser_type",
    ServerKind.LLAMA_CPP: "start llama-server with --jinja and, if the GGUF's template has no tools, "
    "--chat-template-file with one that has",
    ServerKind.LLAMA_CPP_PYTHON: "start it with --chat_format chatml-function-calling, or use llama-server --jinja",
    ServerKind.VLLM: "start it with --enable-auto-tool-choice --tool-call-parser PARSER (qwen3_coder for Qwen3-Coder, "
    "hermes for Qwen2.5)",
    ServerKind.LM_STUDIO: "choose a model that LM Studio marks as trained for tool use",
    ServerKind.OLLAMA: "choose a model whose `ollama show MODEL` lists the capability tools",
    ServerKind.OTHER: "choose a model that supports tool calls",
}
CONTEXT = {
    ServerKind.LLAMA_CPP: "start llama-server with a larger --ctx-size; --parallel slots share it",
    ServerKind.LLAMA_CPP_PYTHON: "start it with --n_ctx 16384; its default is 2048",
    ServerKind.VLLM: "start it with a larger --max-model-len",
    ServerKind.LM_STUDIO: "load the model with `lms load MODEL --context-length 32768`",
    ServerKind.OLLAMA: "start it with OLLAMA_CONTEXT_LENGTH=32768 ollama serve; it cuts off the beginning of a longer "
    "conversation without an error",
}


def remedy(base_url: str, error: EndpointError, *, model: str, api_key: str | None = None) -> str:
    """What to do about this error; asks the server and its neighbours a few things first."""
    if error.kind is FailureKind.ENDPOINT_UNREACHABLE:
        return _unreachable(base_url)
    if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"correct the key in {KEY}" if api_key else f"set {KEY} to the server's API key"
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "wait, or start the workers with a lower --concurrency"
    try:
        server = detect(base_url, api_key=api_key, seconds=ASK_SECONDS)
        root = respond(root_of(base_url) + "/v1/models", api_key=api_key, timeout=ASK_SECONDS)
    except EndpointError:
        return f"restart the model server there, {SERVE}"
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE and "loading" in str(error).lower():
        return "wait until the server has loaded its model, and try again"
    if server.models is None and (fault := _other_address(base_url, server, root)):
        return fault
    if error.kind is FailureKind.WRONG_MODEL or server.serves(model) is False:
        return wrong_model(server, model)
    if error.kind is FailureKind.ENDPOINT_WEDGED:
        return f"it may still be loading: try again; otherwise restart this {server.kind.value}, {SERVE}"
    return f"look at the log of this {server.kind.value} and restart it, {SERVE}"


def wrong_model(server: Server, model: str) -> str:
    """How to make a server have a model, or request the one it has."""
    listed = ", ".join(repr(name) for name in (server.models or ())[:SHOWN_MODELS])
    more = " and more" if len(server.models or ()) > SHOWN_MODELS else ""
    has = f"this {server.kind.value} has {listed}{more}: " if listed else f"this is {server.kind.value}: "
    if model == DEFAULT_MODEL:
        return f"{has}give --model NAME" + ("" if listed else f"; {LOAD[server.kind]}")
    return f"{has}{'give --model one of these, or ' if listed else ''}{LOAD[server.kind]}"


def _other_address(base_url: str, server: Server, root: Response) -> str:
    """The address has no model list: it lacks /v1, or something else listens there."""
    right = f"{root_of(base_url)}/v1"
    if base_url.rstrip("/") != right and entries_of(root) is not None:
        return f"give the address with its path: {without_secret(right)}"
    if server.kind is not ServerKind.OTHER or entries_of(root) is not None:
        return ""
    name = root.headers.get("server", "").strip()
    program = f" ({name})" if name else ""
    return f"another program{program} listens on this port, or the path is wrong: give the model server's address"


def _unreachable(base_url: str) -> str:
    """Look for the server under the other loopback address and on the usual ports."""
    parts = urlsplit(base_url)
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host, port = "", 0
    if not host:
        return "give the address as http://HOST:PORT/v1"
    for other in ("127.0.0.1", "::1"):
        if host in ("localhost", "127.0.0.1", "::1") and other != host and _listens(other, port):
            shown = f"[{other}]" if ":" in other else other
            return f"a server listens on {other} only: give http://{shown}:{port}{parts.path or '/v1'}"
    for usual, servers in DEFAULT_PORTS.items():
        if usual != port and host in ("localhost", "127.0.0.1") and _listens(host, usual):
            return f"nothing listens on port {port}; port {usual} ({servers}) answers: give http://{host}:{usual}/v1"
    return f"start the model server there, or give another --endpoint, {SERVE}"


def _listens(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=CONNECT_SECONDS):
        return True
    return False
