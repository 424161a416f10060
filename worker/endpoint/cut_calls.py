"""Keeps the text of a tool call that max_tokens cut; mlx_lm's server logs that it cannot parse it and drops it.

The text is sent as content behind the tag that opens a call, in the last part of the response and only if its finish
reason is "length". Calls that cannot be parsed for other reasons are dropped as before, so that the client asks again.
"""

import sys
import threading
from collections.abc import Callable
from types import ModuleType

CUT = "length"
DEFAULT_TAG = "<tool_call>"

_lost = threading.local()  # a request is answered by one thread


def keep_cut_calls(server: ModuleType) -> None:
    """Patch mlx_lm's server module in this process: its formatter of calls and its builder of responses."""
    formatter, handler = server.ToolCallFormatter, server.APIHandler
    formatter.__call__ = _remembering(formatter.__call__)
    handler.generate_response = _restoring(handler.generate_response)


def _remembering(format_calls: Callable[..., list[object]]) -> Callable[..., list[object]]:
    def remember(formatter: object, tool_calls: list[str]) -> list[object]:
        made = []
        for text in tool_calls or ():
            parsed = format_calls(formatter, [text])
            _lost.text = "" if parsed else f"{_tag(formatter)}{text}"
            made += parsed
        return made

    return remember


def _restoring(generate: Callable[..., dict[str, object]]) -> Callable[..., dict[str, object]]:
    def restore(
        handler: object, text: str, finish_reason: str | None, *given: object, **named: object
    ) -> dict[str, object]:
        lost, _lost.text = getattr(_lost, "text", ""), ""  # formatted just before, for this part of the response
        return generate(handler, text + lost if finish_reason == CUT else text, finish_reason, *given, **named)

    return restore


def _tag(formatter: object) -> str:
    """The tag that opens a call in the notation of the formatter's parser."""
    parser = getattr(formatter, "_tool_parser", None)
    module = sys.modules.get(getattr(parser, "__module__", ""))
    return str(getattr(module, "tool_call_start", DEFAULT_TAG))
