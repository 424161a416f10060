"""An HTTP client that requests chat completions as a stream and returns each one whole.

A server notices a closed connection only when it writes. Unless it streams, mlx_lm generates up to max_tokens for a
client that has given up. With streaming, a read timeout means silence and not a long answer.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx2

from config.address import without_secret
from config.endpoint.client import MOST_BYTES, too_long
from config.endpoint.completion_assembler import CompletionAssembler
from config.errors import EndpointError, FailureKind
from config.records import JsonObject, RequestTiming
from worker.generate.agent.error_mapping import error_in_stream
from worker.generate.agent.request_clock import RequestClock

if TYPE_CHECKING:
    from httpx2._client import UseClientDefault
    from httpx2._types import AuthTypes

STREAMED: JsonObject = {"stream": True, "stream_options": {"include_usage": True}}  # in the body of a request
CLOSING_SECONDS = 0.1  # for the endpoint to end its body after the last event, so that the connection can be reused
QUOTED_CHARS = 200  # of an event that is not a chunk of a completion
_PROMPT_READ = re.compile(r":\s*keepalive (\d+)/\1$")  # mlx_lm's comment: prompt tokens processed / total


class StreamingClient(httpx2.AsyncClient):
    """Sends one request at a time. A response in plain JSON is accepted although a stream was requested.

    Raises EndpointError for an error within the stream, for an event that is not a chunk, and for a stream that ends
    before its finish_reason: the answer was cut short. All other errors are httpx2's.
    """

    _clock: RequestClock | None = None

    @property
    def first_token(self) -> float | None:
        """Seconds from the last request to its first token; None if there was none.

        A fully processed prompt counts too, where the endpoint reports it: mlx_lm sends the text of a call only once
        the call is complete.
        """
        return self._clock.first_sign if self._clock else None

    def take_timing(self) -> RequestTiming | None:
        """The timing of the last request, once."""
        clock, self._clock = self._clock, None
        return clock.timing() if clock else None

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: "AuthTypes | UseClientDefault | None" = httpx2.USE_CLIENT_DEFAULT,
        follow_redirects: "bool | UseClientDefault" = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        """The whole response."""
        self._clock = clock = RequestClock()
        response = await super().send(request, stream=True, auth=auth, follow_redirects=follow_redirects)
        if stream:
            return response
        try:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream") or response.is_error:
                whole = await _read(response)
                clock.complete(_whole(whole))
                return whole
            answer = await self._collected(response, clock)
        finally:
            await response.aclose()  # at once, even when the job is cancelled
        # json.dumps escapes, so that a surrogate pair split over two chunks is joined again
        return httpx2.Response(response.status_code, content=json.dumps(answer), request=request)

    async def _collected(self, response: httpx2.Response, clock: RequestClock) -> JsonObject:
        answer, lines = CompletionAssembler(), _lines(response)
        async for line in lines:
            if line.startswith("data:"):
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    break
                if _take(answer, data):
                    clock.output(whole_call=answer.has_call_arguments)
            elif _PROMPT_READ.match(line):
                clock.read()
        whole = answer.completion()
        if answer.finished:
            clock.complete(whole)
        with suppress(TimeoutError, httpx2.HTTPError):  # the answer is whole
            async with asyncio.timeout(CLOSING_SECONDS):
                async for _ in lines:
                    pass
        if not answer.finished:
            message = "no answer from the endpoint: the stream ended without a finish_reason"
            raise EndpointError(message, kind=FailureKind.ENDPOINT_UNREACHABLE)
        return whole


async def _lines(response: httpx2.Response) -> AsyncIterator[str]:
    """Each complete line. A line cut off by the end of the connection is dropped."""
    rest = b""
    async for received in _bounded(response):
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")


async def _bounded(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body as it comes, of at most MOST_BYTES and not compressed: a few bytes may stand for gigabytes."""
    shown, total = without_secret(str(response.url)), 0
    if response.headers.get("Content-Encoding", "identity") != "identity":
        message = f"{shown!r} sent a compressed answer, which was not asked for"
        raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR)
    async for received in response.aiter_raw():
        total += len(received)
        if total > MOST_BYTES:
            raise too_long(shown)
        yield received


async def _read(response: httpx2.Response) -> httpx2.Response:
    """The same response with its body."""
    content = b"".join([received async for received in _bounded(response)])
    headers = {name: response.headers[name] for name in ("Content-Type",) if name in response.headers}
    return httpx2.Response(response.status_code, headers=headers, content=content, request=response.request)


def _whole(response: httpx2.Response) -> JsonObject:
    """The JSON object of a response that was not streamed; {} for an error or anything else."""
    with suppress(ValueError):
        try:
            body = response.json()
        except RecursionError as error:  # the OpenAI client would raise it too
            message = f"the endpoint sent JSON that is nested too deeply: {response.text[:QUOTED_CHARS]!r}"
            raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR) from error
        if isinstance(body, dict) and not response.is_error:
            return body
    return {}


def _take(answer: CompletionAssembler, data: str) -> bool:
    """Add the JSON object of one event. Returns True if it has model output."""
    try:
        chunk = json.loads(data)
        if not isinstance(chunk, dict):
            raise ValueError("not an object")
        if not chunk.get("error"):
            return answer.add(chunk)
    except (ValueError, RecursionError) as error:
        message = f"the endpoint streamed {data[:QUOTED_CHARS]!r} instead of a chunk of a completion"
        raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR) from error
    raise error_in_stream(chunk["error"])
