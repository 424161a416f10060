"""An HTTP client whose chat completions come as a stream and are handed on whole.

A server notices that nobody listens any more only when it writes: mlx_lm generates on to max_tokens for a client that
gave up waiting, unless it streams. And a read timeout then means silence, not a long answer.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx2

from config.errors import EndpointError, FailureKind
from config.records import JsonObject
from worker.generate.agent.completion_assembler import CompletionAssembler
from worker.generate.agent.error_mapping import error_in_stream

if TYPE_CHECKING:
    from httpx2._client import UseClientDefault
    from httpx2._types import AuthTypes

STREAMED: JsonObject = {"stream": True, "stream_options": {"include_usage": True}}  # in the body of a request
CLOSING_SECONDS = 0.1  # that an endpoint has to end its body after the last event, for its connection to be used again
QUOTED_CHARS = 200  # of an event that is no piece of an answer
_PROMPT_READ = re.compile(r":\s*keepalive (\d+)/\1$")  # mlx_lm's comment, tokens of the prompt read and in all


class StreamingClient(httpx2.AsyncClient):
    """Sends one request at a time. An answer that comes as plain JSON although a stream was asked for is taken too.

    Raises EndpointError for an error within the stream, for what is no piece of an answer, and for a stream that ends
    before its finish_reason, which is how an answer cut short looks; all else as httpx2 does.
    """

    first_token: float | None = None
    """seconds from the last request to its first token, None when none came

    A prompt that has been read counts too, where the endpoint tells: mlx_lm keeps the text of a call to itself until
    the call is whole.
    """

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: "AuthTypes | UseClientDefault | None" = httpx2.USE_CLIENT_DEFAULT,
        follow_redirects: "bool | UseClientDefault" = httpx2.USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        """The answer, whole."""
        self.first_token, began = None, time.monotonic()
        response = await super().send(request, stream=True, auth=auth, follow_redirects=follow_redirects)
        if stream:
            return response
        try:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream") or response.is_error:
                await response.aread()
                return response
            answer = await self._collected(response, began)
        finally:
            await response.aclose()  # at once, also when the job's time is over
        # escaped, so that the halves of a surrogate pair which came in two pieces find each other
        return httpx2.Response(response.status_code, content=json.dumps(answer.completion()), request=request)

    async def _collected(self, response: httpx2.Response, began: float) -> CompletionAssembler:
        answer, lines = CompletionAssembler(), _lines(response)
        async for line in lines:
            if line.startswith("data:"):
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    break
                token = _take(answer, data)
            else:
                token = _PROMPT_READ.match(line) is not None
            if token and self.first_token is None:
                self.first_token = time.monotonic() - began
        with suppress(TimeoutError, httpx2.HTTPError):  # the answer is whole
            async with asyncio.timeout(CLOSING_SECONDS):
                async for _ in lines:
                    pass
        if not answer.finished:
            message = "no answer from the endpoint: it ended its stream without a finish_reason"
            raise EndpointError(message, kind=FailureKind.ENDPOINT_UNREACHABLE)
        return answer


async def _lines(response: httpx2.Response) -> AsyncIterator[str]:
    """Each ended line; a line that the end of the connection cut is none."""
    held = b""
    async for some in response.aiter_bytes():
        *lines, held = (held + some).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")


def _take(answer: CompletionAssembler, data: str) -> bool:
    """Add one event's data, a JSON object; True when a model wrote something of it."""
    try:
        piece = json.loads(data)
        if not isinstance(piece, dict):
            raise ValueError("no object")
        if not piece.get("error"):
            return answer.add(piece)
    except ValueError as error:
        message = f"the endpoint streamed {data[:QUOTED_CHARS]!r} instead of a piece of an answer"
        raise EndpointError(message, kind=FailureKind.ENDPOINT_ERROR) from error
    raise error_in_stream(piece["error"])
