"""The doctor's look at the model endpoint: a token comes back, and what it says of its models can be used."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.endpoint.client import request
from config.endpoint.health import require_answer
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL, JsonObject

SECONDS = 60.0  # a large model that is loaded on the first request
SMALL_CONTEXT = 8192  # tokens; a rollout reads several files before it answers
CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "n_ctx")  # vLLM, hosted ones, llama.cpp


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server; `named` when somebody asked for it, and it is not merely the default address."""

    url: str
    model: str
    key: str | None
    named: bool
    seconds: float = SECONDS

    def checks(self) -> list[Check]:
        """What is looked at."""
        return [
            Check("endpoint answers", self.answers),
            Check("endpoint names its models", self.models),
            Check("endpoint's context", self.context),
            Check("endpoint's model name", self.asked),
        ]

    def answers(self) -> Iterator[Diagnosis]:
        """One token; health pages say 200 before a model is loaded."""
        try:
            require_answer(self.url, model=self.model, api_key=self.key, seconds=self.seconds)
        except EndpointError as error:
            silent = error.kind is not FailureKind.ENDPOINT_ERROR
            if silent and not self.named:
                raise CannotCheckError(
                    f"nothing answers at {self.url!r}, and APPLEJACK_ENDPOINT names no other"
                ) from error
            yield Diagnosis(
                "endpoint_silent" if silent else "endpoint_error",
                "error",
                str(error),
                "restart the model server (a dead generation thread never returns by itself), or let a worker "
                "watch it: `applejack worker generate --serve MODEL`",
            )

    def models(self) -> Iterator[Diagnosis]:
        """mlx_lm answers 200 with an empty body when its hub cache folder is missing."""
        body = self.get("models")
        if not body.strip():
            yield Diagnosis(
                "endpoint_no_models",
                "warning",
                f"{self.url}/models answers with an empty body, which breaks clients that ask for it",
                "start the server with HF_HOME set to an existing folder that has a folder `hub` in it",
            )

    def context(self) -> Iterator[Diagnosis]:
        """Tokens of context, where the server tells them."""
        sizes = [size for entry in self.entries() if (size := context_of(entry))]
        if not sizes:
            raise CannotCheckError(
                "the endpoint does not tell its context (mlx_lm's server never does, nor enforces one)"
            )
        if min(sizes) < SMALL_CONTEXT:
            yield Diagnosis(
                "endpoint_context",
                "warning",
                f"the endpoint's context is {min(sizes)} tokens; rollouts that read files need {SMALL_CONTEXT}",
                "start the server with a longer context, or expect failures of the kind context_overflow",
            )

    def asked(self) -> Iterator[Diagnosis]:
        """A path as model name: mlx_lm loads it anew, without the adapter that the server was started with."""
        if self.model != DEFAULT_MODEL and self.model.startswith(("/", "~", ".")):
            yield Diagnosis(
                "model_by_path",
                "warning",
                f"APPLEJACK_MODEL is the path {self.model!r}: mlx_lm's server loads it again, without its adapter",
                f"unset APPLEJACK_MODEL: {DEFAULT_MODEL!r} is what the server was started with",
            )

    def entries(self) -> list[JsonObject]:
        """The models listed, none when the answer is no such list."""
        try:
            data = json.loads(self.get("models")).get("data")
        except (ValueError, AttributeError):
            return []
        return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []

    def get(self, path: str) -> str:
        """The body of an answer with status 200; CannotCheckError otherwise."""
        try:
            status, body = request(f"{self.url.rstrip('/')}/{path}", api_key=self.key, timeout=self.seconds)
        except EndpointError as error:
            raise CannotCheckError(str(error)) from error
        if status != HTTPStatus.OK:
            raise CannotCheckError(f"{self.url}/{path} answered {status}")
        return body


def context_of(entry: JsonObject) -> int | None:
    """Tokens of context in one entry of /v1/models, or in its `meta`."""
    meta = entry.get("meta")
    for place in (entry, meta if isinstance(meta, dict) else {}):
        for key in CONTEXT_KEYS:
            value = place.get(key)
            if isinstance(value, int):
                return value
    return None
