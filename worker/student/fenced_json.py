"""Tool parser for calls written as fenced JSON, the notation of templates/qwen25_coder_fenced.jinja.

A student selects it with `"tool_parser_type": "fenced_json"` in its tokenizer_config.json. mlx_lm finds parsers among
its own modules, so a process that loads such a student calls `register` first. serve_child and the training child do;
the stock `mlx_lm.server` cannot. Not covered: a json fence in an answer is treated as a call and dropped.
"""

import json
import sys
from types import ModuleType

NAME = "fenced_json"
tool_call_start = "```json\n"
tool_call_end = "\n```"


def parse_tool_call(text: str, tools: object = None) -> dict[str, object]:  # noqa: ARG001 - mlx_lm's signature
    """{"name", "arguments"} of one fenced block. Raises ValueError, which the server logs, if it is not a call."""
    call = json.loads(text)
    if (
        not isinstance(call, dict)
        or not isinstance(call.get("name"), str)
        or not isinstance(call.get("arguments"), dict)
    ):
        raise ValueError(f"not a tool call: {text[:80]!r}")
    return {"name": call["name"], "arguments": call["arguments"]}


def register() -> None:
    """Register this module as one of mlx_lm's tool parsers in this process."""
    module: ModuleType = sys.modules[__name__]
    sys.modules[f"mlx_lm.tool_parsers.{NAME}"] = module
