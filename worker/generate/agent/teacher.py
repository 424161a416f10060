"""The teacher of a rollout: a model behind an endpoint, or a scripted one."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI
from pydantic_ai.exceptions import ModelAPIError, ModelTimeoutError
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from config.address import is_loopback, without_secret
from config.endpoint.client import is_same_model
from config.errors import EndpointError, FailureKind
from config.records import RequestTiming, Sampling, own_text
from worker.concurrency.observer import RequestObserver, no_observer
from worker.generate.agent.history import is_call_lost
from worker.generate.agent.streaming import STREAMED, StreamingClient

CONNECT_SECONDS = 10.0  # the endpoint is on this machine or the local network

# Reasoning whose opening tag is part of the generation prompt. pydantic-ai removes reasoning with both tags.
_REASONING = re.compile(r"(?sm)\A.*?^</think>[ \t]*$")

ModelSource = Model | Callable[[], AbstractAsyncContextManager[Model]]


@dataclass(frozen=True)
class Teacher:
    """The model that answers. Any number of threads can share one teacher."""

    name: str
    """id as served, or "scripted" """
    endpoint: str
    model: ModelSource
    """a model without a connection, or a context manager that opens one for a single rollout"""
    sampling: Sampling | None = None
    revision: str | None = None
    """the hub's commit, if this worker serves the model from the hub"""


def endpoint_teacher(
    base_url: str,
    *,
    model: str,
    api_key: str | None = None,
    sampling: Sampling | None,
    request_seconds: float,
    watch: RequestObserver = no_observer,
) -> Teacher:
    """A teacher behind an OpenAI-compatible server. Nothing is retried here; the queue retries whole jobs.

    Args:
        base_url: including /v1.
        model: requested model. Another name in the response is an error, unless this is "default_model".
        request_seconds: silence after which a request fails as endpoint_wedged. A long answer is not silence.
    """
    # A proxy from the environment must not be used for a server on this machine.
    local = is_loopback(urlsplit(base_url).hostname)

    @asynccontextmanager
    async def connected() -> AsyncIterator[Model]:
        timeout = openai.Timeout(request_seconds, connect=min(CONNECT_SECONDS, request_seconds))
        async with (
            StreamingClient(
                trust_env=not local,
                timeout=timeout,
                verify=_certificates(),
                follow_redirects=True,
                headers={"Accept-Encoding": "identity"},
            ) as http,
            AsyncOpenAI(
                base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=timeout, http_client=http
            ) as client,
        ):
            provider = OpenAICompatibleProvider("applejack", openai_client=client)
            # Local servers expect max_tokens. Tool schemas are sent unchanged, so that the record matches the request.
            profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False, json_schema_transformer=None)
            chat_model = OpenAIChatModel(model, provider=provider, profile=profile)
            yield _Endpoint(chat_model, requested=model, watch=watch, http=http)

    return Teacher(name=model, endpoint=without_secret(base_url), model=connected, sampling=sampling)


@cache
def _certificates() -> ssl.SSLContext:
    """CA certificates. Loading them takes 40 ms, half of a rollout's CPU time, so they are cached."""
    return httpx2.create_ssl_context()


@asynccontextmanager
async def opened(source: ModelSource) -> AsyncIterator[Model]:
    """The model of one rollout, closed when the rollout ends."""
    if isinstance(source, Model):
        yield source
        return
    async with source() as model:
        yield model


def request_timings(model: Model) -> Sequence[RequestTiming]:
    """The requests sent so far, in a sequence that grows with each one; empty for a scripted teacher."""
    return model.timings if isinstance(model, _Endpoint) else ()


class _Endpoint(WrapperModel):
    """A model behind a server: checks the name of the model that answered, and gives every call a unique id."""

    def __init__(self, wrapped: Model, *, requested: str, watch: RequestObserver, http: StreamingClient) -> None:
        super().__init__(wrapped)
        self._requested = requested
        self._watch = watch
        self._http = http
        self.timings: list[RequestTiming] = []

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The response to a conversation. Raises EndpointError if another model answered."""
        try:
            response = await self._watched(messages, model_settings, model_request_parameters)
        finally:
            if timing := self._http.take_timing():
                self.timings.append(timing)
        if response.model_name and not is_same_model(self._requested, response.model_name):
            raise EndpointError(
                f"requested model {self._requested!r}, but {response.model_name!r} answered; "
                "load the requested model in the endpoint, or request the one it serves",
                kind=FailureKind.WRONG_MODEL,
            )
        responses = [message for message in messages if isinstance(message, ModelResponse)]
        taken = {call.tool_call_id for message in responses for call in message.tool_calls}
        parts = list(_recorded_parts(response, taken))
        if not parts and is_call_lost(response):
            parts = [TextPart("")]  # without parts it is not sent, and many templates refuse two user turns in a row
        return replace(response, parts=parts)

    async def _watched(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        ended = self._watch()
        settings = ModelSettings(**(model_settings or {}), extra_body=STREAMED)
        try:
            response = await super().request(messages, settings, model_request_parameters)
        except (ModelAPIError, EndpointError, asyncio.CancelledError) as raised:  # cancelled: the wall time ran out
            slow = isinstance(raised, ModelTimeoutError | asyncio.CancelledError)
            ended(0, "timeout" if slow else "error", self._http.first_token)
            raise
        except BaseException:
            ended(0, None, self._http.first_token)  # a bad response is not the server's fault
            raise
        ended(response.usage.output_tokens, None, self._http.first_token)
        return response


def _recorded_parts(response: ModelResponse, taken: set[str]) -> Iterator[ModelResponsePart]:
    """The parts that are recorded and sent in later requests: text and calls, but no reasoning.

    The record then holds exactly the conversation that the teacher saw.
    """
    for part in response.parts:
        if isinstance(part, TextPart):
            # max_tokens can cut a surrogate pair in half, which cannot be encoded
            text = _REASONING.sub("", part.content.encode(errors="replace").decode(), count=1)
            text = own_text(text) if response.tool_calls else text  # an answer is not sent back: recorded as it came
            if text:
                yield replace(part, content=text)
        elif isinstance(part, ToolCallPart):
            yield replace(part, tool_call_id=_unique_call_id(part.tool_call_id, taken))
        elif not isinstance(part, ThinkingPart):
            yield part


def _unique_call_id(given: str, taken: set[str]) -> str:
    """A new id where a server repeats ids or leaves them empty, as small local servers do."""
    unique, number = given or "call-1", 1
    while unique in taken:
        number += 1
        unique = f"{given or 'call'}-{number}"
    taken.add(unique)
    return unique
