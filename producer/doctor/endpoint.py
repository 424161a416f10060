"""Health checks of the model endpoint: it generates a token, lists its models and has enough context."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.endpoint.client import request
from config.endpoint.health import require_answer
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL, JsonObject

SECONDS = 60.0  # a large model may load on the first request
SMALL_CONTEXT = 8192  # tokens; a rollout reads several files before it answers
CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "n_ctx")  # vLLM, hosted services, llama.cpp


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server. `configured` is False if the URL is only the default address."""

    url: str
    model: str
    key: str | None
    configured: bool
    seconds: float = SECONDS

    def checks(self) -> list[Check]:
        """The checks; the first one shows whether the endpoint is reachable."""
        return [
            Check("endpoint answers", self.answers),
            Check("endpoint lists its models", self.models),
            Check("endpoint context length", self.context),
            Check("endpoint model name", self.model_name),
        ]

    def answers(self) -> Iterator[Diagnosis]:
        """Request one token. Health pages return 200 before the model is loaded."""
        try:
            require_answer(self.url, model=self.model, api_key=self.key, seconds=self.seconds)
        except EndpointError as error:
            silent = error.kind is not FailureKind.ENDPOINT_ERROR
            if silent and not self.configured:
                raise CannotCheckError(
                    f"no server at the default address {self.url!r}, and APPLEJACK_ENDPOINT is not set"
                ) from error
            yield Diagnosis(
                "endpoint_silent" if silent else "endpoint_error",
                "error",
                str(error),
                "restart the model server (mlx_lm does not restart a dead generation thread), or let a worker "
                "start and supervise it: `applejack worker generate --serve MODEL`",
            )

    def models(self) -> Iterator[Diagnosis]:
        """mlx_lm returns 200 with an empty body if its hub cache directory is missing."""
        body = self.get("models")
        if not body.strip():
            yield Diagnosis(
                "endpoint_no_models",
                "warning",
                f"{self.url}/models returns an empty body, which breaks clients that list models",
                "start the server with HF_HOME set to an existing directory that contains a `hub` directory",
            )

    def context(self) -> Iterator[Diagnosis]:
        """Context length in tokens, if the server reports it."""
        sizes = [size for entry in self.entries() if (size := context_of(entry))]
        if not sizes:
            raise CannotCheckError(
                "the endpoint does not report its context length (mlx_lm's server neither reports nor enforces one)"
            )
        if min(sizes) < SMALL_CONTEXT:
            yield Diagnosis(
                "endpoint_context",
                "warning",
                f"the endpoint's context length is {min(sizes)} tokens; rollouts that read files need {SMALL_CONTEXT}",
                "start the server with a longer context, or expect jobs to fail with context_overflow",
            )

    def model_name(self) -> Iterator[Diagnosis]:
        """A path as the model name makes mlx_lm load the model again, without the server's adapter."""
        if self.model != DEFAULT_MODEL and self.model.startswith(("/", "~", ".")):
            yield Diagnosis(
                "model_by_path",
                "warning",
                f"APPLEJACK_MODEL is the path {self.model!r}: mlx_lm's server loads it again without its adapter",
                f"unset APPLEJACK_MODEL; its default, {DEFAULT_MODEL!r}, is the model the server was started with",
            )

    def entries(self) -> list[JsonObject]:
        """The listed models; none if the response is not a model list."""
        try:
            data = json.loads(self.get("models")).get("data")
        except (ValueError, AttributeError):
            return []
        return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []

    def get(self, path: str) -> str:
        """Body of a response with status 200; CannotCheckError for any other."""
        try:
            status, body = request(f"{self.url.rstrip('/')}/{path}", api_key=self.key, timeout=self.seconds)
        except EndpointError as error:
            raise CannotCheckError(str(error)) from error
        if status != HTTPStatus.OK:
            raise CannotCheckError(f"{self.url}/{path} returned HTTP status {status}")
        return body


def context_of(entry: JsonObject) -> int | None:
    """Context length in tokens, from an entry of /v1/models or its `meta`."""
    meta = entry.get("meta")
    for fields in (entry, meta if isinstance(meta, dict) else {}):
        for key in CONTEXT_KEYS:
            value = fields.get(key)
            if isinstance(value, int):
                return value
    return None
