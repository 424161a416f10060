"""Which model server answers at an address, and which models it has.

Each signature is what the server sends by itself, from its source or documentation, read in November 2026:

    mlx_lm            header Server: BaseHTTP; no owned_by in /v1/models (mlx_lm/server.py; run here)
    llama.cpp         header Server: llama.cpp; owned_by "llamacpp" (tools/server; run here)
    llama-cpp-python  owned_by "me" (llama_cpp/server/app.py)
    vLLM              owned_by "vllm" (vllm/entrypoints/openai/protocol.py)
    LM Studio         owned_by "organization_owner"; GET /api/v0/models; for an unknown path
                      200 {"error": "Unexpected endpoint or method ..."} (lmstudio.ai/docs/developer/rest)
    Ollama            owned_by is the namespace, "library"; GET /api/version (openai/openai.go, docs/api.md)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from urllib.parse import urlsplit

from config.address import is_loopback
from config.endpoint.client import Response, is_same_model, respond
from config.errors import EndpointError
from config.records import DEFAULT_MODEL, JsonObject


class ServerKind(StrEnum):
    """A model server with an OpenAI-compatible interface."""

    MLX_LM = "mlx_lm"
    LLAMA_CPP = "llama.cpp"
    LLAMA_CPP_PYTHON = "llama-cpp-python"
    VLLM = "vLLM"
    LM_STUDIO = "LM Studio"
    OLLAMA = "Ollama"
    OTHER = "OpenAI-compatible server"  # a cloud, a proxy, or a server that is not known here


OWNERS = {
    "llamacpp": ServerKind.LLAMA_CPP,
    "me": ServerKind.LLAMA_CPP_PYTHON,
    "vllm": ServerKind.VLLM,
    "organization_owner": ServerKind.LM_STUDIO,
    "library": ServerKind.OLLAMA,
}
SERVES_ANY_NAME = (ServerKind.MLX_LM, ServerKind.LLAMA_CPP, ServerKind.LLAMA_CPP_PYTHON, ServerKind.LM_STUDIO)
DEFAULT_PORTS = {8080: "mlx_lm or llama.cpp", 11434: "Ollama", 1234: "LM Studio", 8000: "vLLM or llama-cpp-python"}

CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "n_ctx")  # vLLM, hosted services, llama.cpp


@dataclass(frozen=True)
class Server:
    """What was found at an address."""

    kind: ServerKind
    models: tuple[str, ...] | None
    """ids of /v1/models; None if the server does not list them"""
    context: int | None = None
    """smallest context length in tokens that it reports"""

    def serves(self, model: str) -> bool | None:
        """Whether a request for a model can be answered; None if that cannot be known.

        mlx_lm loads any other hub id that it is asked for, or fails; only a listed one is on its machine. Ollama's
        NAME is NAME:latest. A server with one model, or with one loaded, answers "default_model" with it.
        """
        if model == DEFAULT_MODEL and self.kind in SERVES_ANY_NAME:
            return None if self.models == () and self.kind is ServerKind.LM_STUDIO else True
        if self.models is None or (model == DEFAULT_MODEL and self.kind is ServerKind.OTHER):
            return None
        names = {*self.models, *(name.removesuffix(":latest") for name in self.models)}
        return any(is_same_model(model, name) for name in names) if model != DEFAULT_MODEL else model in names


def detect(base_url: str, *, api_key: str | None = None, seconds: float) -> Server:
    """The server at `base_url`, which ends in /v1. Raises EndpointError if it cannot be reached."""
    listed = respond(f"{base_url.rstrip('/')}/models", api_key=api_key, timeout=seconds)
    entries = entries_of(listed)
    kind = _kind_of(listed, entries)
    if kind is ServerKind.OTHER and is_local(base_url):
        kind = _kind_by_own_pages(base_url, api_key, seconds)
    sizes = [size for entry in entries or () if (size := context_of(entry))]
    models = None if entries is None else tuple(str(entry["id"]) for entry in entries)
    return Server(kind, models, min(sizes) if sizes else None)


def entries_of(listed: Response) -> list[JsonObject] | None:
    """The entries of a response to /v1/models; None if it is not a list of models."""
    body = _object(listed.body)
    if listed.status != HTTPStatus.OK or "data" not in body:
        return None
    found = body["data"] or []  # Ollama without a model sends null
    return [entry for entry in found if isinstance(entry, dict) and "id" in entry] if isinstance(found, list) else None


def context_of(entry: JsonObject) -> int | None:
    """Context length in tokens, from an entry of /v1/models or its `meta`."""
    meta = entry.get("meta")
    for fields in (entry, meta if isinstance(meta, dict) else {}):
        for key in CONTEXT_KEYS:
            value = fields.get(key)
            if isinstance(value, int):
                return value
    return None


def root_of(base_url: str) -> str:
    """The address without its path."""
    return urlsplit(base_url)._replace(path="", query="", fragment="").geturl()


def is_local(base_url: str) -> bool:
    """Whether a model server rather than a cloud is expected there: plain HTTP, or this machine."""
    parts = urlsplit(base_url)
    return parts.scheme == "http" or is_loopback(parts.hostname)


def _kind_of(listed: Response, entries: Sequence[JsonObject] | None) -> ServerKind:
    server = listed.headers.get("server", "")
    if server.startswith("llama.cpp"):
        return ServerKind.LLAMA_CPP
    owners = {OWNERS.get(str(entry.get("owned_by"))) for entry in entries or ()} - {None}
    if owners:
        return next(iter(sorted(owner for owner in owners if owner)))
    # mlx_lm sends an empty body if there is no hub cache on its machine
    if server.startswith("BaseHTTP") and (not listed.body or (entries is not None and not any_owned(entries))):
        return ServerKind.MLX_LM
    return ServerKind.OTHER


def any_owned(entries: Sequence[JsonObject]) -> bool:
    """Whether an entry names an owner, which mlx_lm's do not."""
    return any("owned_by" in entry for entry in entries)


def _kind_by_own_pages(base_url: str, api_key: str | None, seconds: float) -> ServerKind:
    """Ollama and LM Studio have pages of their own beside /v1."""
    for path, key, kind in (
        ("/api/version", "version", ServerKind.OLLAMA),
        ("/api/v0/models", "data", ServerKind.LM_STUDIO),
    ):
        try:
            page = respond(root_of(base_url) + path, api_key=api_key, timeout=seconds)
        except EndpointError:
            return ServerKind.OTHER
        body = _object(page.body)
        if page.status == HTTPStatus.OK and key in body and (key != "data" or '"state"' in page.body):
            return kind
        if str(body.get("error", "")).startswith("Unexpected endpoint or method"):
            return ServerKind.LM_STUDIO
    return ServerKind.OTHER


def loaded_context(base_url: str, kind: ServerKind, model: str, *, api_key: str | None, seconds: float) -> int | None:
    """Context length of a loaded model, where /v1/models does not report it: Ollama and LM Studio."""
    path, names, key = {
        ServerKind.OLLAMA: ("/api/ps", ("name", "model"), "context_length"),
        ServerKind.LM_STUDIO: ("/api/v0/models", ("id",), "loaded_context_length"),
    }.get(kind, ("", (), ""))
    if not path:
        return None
    try:
        body = _object(respond(root_of(base_url) + path, api_key=api_key, timeout=seconds).body)
    except EndpointError:
        return None
    entries = body.get("models" if kind is ServerKind.OLLAMA else "data")
    for entry in entries if isinstance(entries, list) else []:
        size = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(size, int):
            known = {str(entry.get(name)).removesuffix(":latest") for name in names}
            if model == DEFAULT_MODEL or model.removesuffix(":latest") in known:
                return size
    return None


def _object(text: str) -> JsonObject:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
