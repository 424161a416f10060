"""A chat completion as the events of a stream: texts in pieces, calls' arguments in pieces, usage when asked for."""

import json
from collections.abc import Iterator

from config.records import JsonObject

PIECE = 7  # characters


def events(completion: JsonObject, asked: JsonObject) -> Iterator[bytes]:
    """What goes over the wire, an event at a time, the last one [DONE]; mlx_lm's comment comes first."""
    yield b": keepalive 10/10\n\n"
    for piece in pieces(completion, usage=usage_wanted(asked)):
        yield f"data: {json.dumps(piece)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def usage_wanted(asked: JsonObject) -> bool:
    """Whether a request asks for a usage event."""
    options = asked.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def pieces(completion: JsonObject, *, usage: bool) -> Iterator[JsonObject]:
    """The chat.completion.chunk objects of a completion."""
    frame: JsonObject = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    frame["object"] = "chat.completion.chunk"
    [choice] = completion["choices"]  # type: ignore[misc, union-attr] # our own, one choice
    message = choice["message"]  # type: ignore[call-overload, index]
    for delta in _deltas(message):  # type: ignore[arg-type]
        yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    reason = choice["finish_reason"]  # type: ignore[call-overload, index]
    yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if usage:
        yield {**frame, "choices": [], "usage": completion["usage"]}


def _deltas(message: JsonObject) -> Iterator[JsonObject]:
    yield {"role": "assistant", "content": ""}
    content = message.get("content")
    for part in _parts(content if isinstance(content, str) else ""):
        yield {"content": part}
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        assert isinstance(call, dict)
        function = call["function"]
        assert isinstance(function, dict)
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for part in _parts(str(function["arguments"])):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _parts(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
