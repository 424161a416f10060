"""Who answers in a rollout: a model behind an endpoint, or a programmatic one."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI
from pydantic_ai.exceptions import ModelAPIError, ModelTimeoutError
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from config.address import is_loopback, without_secret
from config.errors import EndpointError, FailureKind
from config.records import DEFAULT_MODEL, Sampling
from worker.concurrency.observer import RequestObserver, no_observer
from worker.generate.agent.streaming import STREAMED, StreamingClient

CONNECT_SECONDS = 10.0  # the endpoint is on this machine or in this room

ModelSource = Model | Callable[[], AbstractAsyncContextManager[Model]]


@dataclass(frozen=True)
class Teacher:
    """Who answers, in a way that any number of threads can use at once."""

    name: str
    """id as served, or "scripted" """
    endpoint: str
    model: ModelSource
    """a model that holds no connection, or what opens one for a single rollout and closes it"""
    sampling: Sampling | None = None


def endpoint_teacher(
    base_url: str,
    *,
    model: str,
    api_key: str | None = None,
    sampling: Sampling | None,
    request_seconds: float,
    watch: RequestObserver = no_observer,
) -> Teacher:
    """An OpenAI-compatible server. Nothing is retried here: another try is the queue's business.

    Args:
        base_url: with its /v1.
        model: asked for; another name in an answer is an error, unless this is "default_model".
        request_seconds: silence after which a request is given up as endpoint_wedged; a long answer is none.
    """
    # A proxy from the environment must not be asked for what runs on this machine.
    local = is_loopback(urlsplit(base_url).hostname)

    @asynccontextmanager
    async def connected() -> AsyncIterator[Model]:
        timeout = openai.Timeout(request_seconds, connect=min(CONNECT_SECONDS, request_seconds))
        async with (
            StreamingClient(
                trust_env=not local, timeout=timeout, verify=_certificates(), follow_redirects=True
            ) as http,
            AsyncOpenAI(
                base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=timeout, http_client=http
            ) as client,
        ):
            provider = OpenAICompatibleProvider("applejack", openai_client=client)
            # max_tokens is what local servers know; the tools' schemas go out as they are, for the record to be true
            profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False, json_schema_transformer=None)
            answers = OpenAIChatModel(model, provider=provider, profile=profile)
            yield _Endpoint(answers, asked=model, watch=watch, http=http)

    return Teacher(name=model, endpoint=without_secret(base_url), model=connected, sampling=sampling)


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust over https, read once: a client that reads them itself takes half of a rollout's CPU, 40 ms."""
    return httpx2.create_ssl_context()


@asynccontextmanager
async def opened(source: ModelSource) -> AsyncIterator[Model]:
    """The model of one rollout, closed at its end."""
    if isinstance(source, Model):
        yield source
        return
    async with source() as model:
        yield model


class _Endpoint(WrapperModel):
    """A server's answers, made sound: the model that was asked for, and an own id for every call."""

    def __init__(self, wrapped: Model, *, asked: str, watch: RequestObserver, http: StreamingClient) -> None:
        super().__init__(wrapped)
        self._asked = asked
        self._watch = watch
        self._http = http

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The answer to a conversation; EndpointError for another model's."""
        response = await self._watched(messages, model_settings, model_request_parameters)
        if self._asked != DEFAULT_MODEL and response.model_name and response.model_name != self._asked:
            raise EndpointError(
                f"asked for model {self._asked!r}, {response.model_name!r} answered; "
                "load that model in the endpoint, or name the one it serves",
                kind=FailureKind.WRONG_MODEL,
            )
        taken = {call.tool_call_id for said in messages if isinstance(said, ModelResponse) for call in said.tool_calls}
        return replace(response, parts=[_sanitize_part(part, taken) for part in response.parts])

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
        except (ModelAPIError, EndpointError, asyncio.CancelledError) as raised:  # cancelled: the wall time is over
            slow = isinstance(raised, ModelTimeoutError | asyncio.CancelledError)
            ended(0, "timeout" if slow else "error", self._http.first_token)
            raise
        except BaseException:
            ended(0, None, self._http.first_token)  # what the model wrote is no sign of how the server does
            raise
        ended(response.usage.output_tokens, None, self._http.first_token)
        return response


def _sanitize_part(part: ModelResponsePart, taken: set[str]) -> ModelResponsePart:
    if isinstance(part, TextPart):  # half of a surrogate pair, where max_tokens cut it, is no text that can be sent
        return replace(part, content=part.content.encode(errors="replace").decode())
    if isinstance(part, ToolCallPart):
        return replace(part, tool_call_id=_unique_call_id(part.tool_call_id, taken))
    return part


def _unique_call_id(given: str, taken: set[str]) -> str:
    """Small local servers repeat ids or leave them empty; a result could then not be told from another's."""
    own, number = given or "call-1", 1
    while own in taken:
        number += 1
        own = f"{given or 'call'}-{number}"
    taken.add(own)
    return own
