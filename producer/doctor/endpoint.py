"""Health checks of the model endpoint: it generates a token, lists its models, calls tools and has enough context."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.endpoint.advice import CONTEXT, TOOLS, remedy
from config.endpoint.client import request
from config.endpoint.health import HealthCheck, health_check
from config.endpoint.server_kind import Server, detect, loaded_context
from config.endpoint.tool_check import check_tools
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL

SECONDS = 60.0  # a large model may load on the first request
SMALL_CONTEXT = 8192  # tokens; a rollout reads several files before it answers


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
            Check("endpoint calls tools", self.tools),
            Check("endpoint context length", self.context),
            Check("endpoint model name", self.model_name),
        ]

    def answers(self) -> Iterator[Diagnosis]:
        """Request one token. Health pages return 200 before the model is loaded."""
        error = self.health().error
        if error is None:
            return
        silent = error.kind in (FailureKind.ENDPOINT_UNREACHABLE, FailureKind.ENDPOINT_WEDGED)
        if silent and not self.configured:
            raise CannotCheckError(
                f"no server at the default address {self.url!r}, and APPLEJACK_ENDPOINT is not set"
            ) from error
        wrong = error.kind is FailureKind.WRONG_MODEL
        yield Diagnosis(
            "endpoint_silent" if silent else "endpoint_wrong_model" if wrong else "endpoint_error",
            "error",
            f"the endpoint {error}",
            remedy(self.url, error, model=self.model, api_key=self.key),
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

    def tools(self) -> Iterator[Diagnosis]:
        """One round trip with a tool. A teacher that cannot call tools makes no data."""
        try:
            found = check_tools(self.url, model=self.model, api_key=self.key, seconds=self.seconds)
        except EndpointError as error:
            message = f"the endpoint refused a request with a tool: {error}"
            yield Diagnosis("endpoint_tools_refused", "error", message, TOOLS[self.server().kind])
            return
        advice = TOOLS[self.server().kind]
        if not found.offered:
            message = "the endpoint left the tools out of the prompt: the same number of tokens with and without them"
            yield Diagnosis("endpoint_tools_ignored", "error", message, advice)
        elif found.announced:
            message = "the endpoint announced a tool call and sent none: it could not parse what the model wrote"
            yield Diagnosis("endpoint_call_lost", "error", message, advice)
        elif not found.called:
            message = f"the model was asked to call a tool and wrote {found.text!r}"
            yield Diagnosis("endpoint_no_call", "error", message, advice)
        elif not found.answered:
            message = f"the model called the tool, but its answer lacks the tool's result: {found.text!r}"
            yield Diagnosis("endpoint_result_unused", "warning", message, "choose a larger model")

    def context(self) -> Iterator[Diagnosis]:
        """Context length in tokens, if the server reports it."""
        server = self.server()
        size = loaded_context(self.url, server.kind, self.model, api_key=self.key, seconds=self.seconds)
        size = size or server.context
        if size is None:
            raise CannotCheckError(
                f"this {server.kind.value} does not report its context length"
                " (mlx_lm's server neither reports nor enforces one)"
            )
        if size < SMALL_CONTEXT:
            yield Diagnosis(
                "endpoint_context",
                "warning",
                f"the endpoint's context length is {size} tokens; rollouts that read files need {SMALL_CONTEXT}",
                CONTEXT.get(server.kind, "start the server with a longer context")
                + "; or expect jobs to fail with context_overflow",
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

    def health(self) -> HealthCheck:
        """Request one token of the model."""
        return health_check(self.url, model=self.model, api_key=self.key, seconds=self.seconds)

    def server(self) -> Server:
        """What answers at the address."""
        try:
            return detect(self.url, api_key=self.key, seconds=self.seconds)
        except EndpointError as error:
            raise CannotCheckError(str(error)) from error

    def get(self, path: str) -> str:
        """Body of a response with status 200; CannotCheckError for any other."""
        try:
            status, body = request(f"{self.url.rstrip('/')}/{path}", api_key=self.key, timeout=self.seconds)
        except EndpointError as error:
            raise CannotCheckError(str(error)) from error
        if status != HTTPStatus.OK:
            raise CannotCheckError(f"{self.url}/{path} returned HTTP status {status}")
        return body
