"""A real round trip with one tool: a call, its result, an answer. Streamed, as a job's requests are."""

import json
from dataclasses import dataclass
from http import HTTPStatus

from config.endpoint.client import names_no_model, respond
from config.endpoint.completion_assembler import CompletionAssembler
from config.errors import EndpointError, FailureKind
from config.records import JsonObject, parsed_arguments

QUESTION = "How many lines does the file notes.txt have? Call the tool count_lines to find out, then answer."
PATH = "notes.txt"
LINES = "417"
TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "count_lines",
        "description": "Counts the lines of a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string", "description": "Name of the file."}},
            "required": ["path"],
        },
    },
}
MAX_TOKENS = 512  # some models think first
QUOTED_CHARS = 200


@dataclass(frozen=True)
class ToolCheck:
    """What came of the round trip."""

    called: bool
    """the model called the tool with the file's name"""
    answered: bool = False
    """it gave the tool's result in its answer"""
    text: str = ""
    """what it wrote instead of a call, or as its answer; shortened"""
    announced: bool = False
    """the server said that there is a call, and sent none"""
    offered: bool = True
    """the tool was part of the model's prompt, as far as the token counts show"""


def check_tools(base_url: str, *, model: str, api_key: str | None, seconds: float) -> ToolCheck:
    """Ask a question that needs a tool. Raises EndpointError if the server refuses a request."""
    asked: list[JsonObject] = [{"role": "user", "content": QUESTION}]

    def ask(messages: list[JsonObject], **more: object) -> JsonObject:
        body: JsonObject = {
            "model": model,
            "messages": list(messages),
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,  # type: ignore[dict-item]  # JSON
        }
        return _stream(base_url, body, api_key=api_key, seconds=seconds)

    first = ask(asked, tools=[TOOL])
    message, reason = _choice(first)
    calls = message.get("tool_calls")
    text = str(message.get("content") or "")[:QUOTED_CHARS]
    if not isinstance(calls, list) or not calls:
        plain = _prompt_tokens(ask(asked, max_tokens=1))
        offered = plain is None or _prompt_tokens(first) != plain
        return ToolCheck(False, text=text, announced=reason == "tool_calls", offered=offered)
    call = calls[0]
    function = call.get("function") if isinstance(call, dict) else None
    arguments = parsed_arguments(function.get("arguments")) if isinstance(function, dict) else None
    if not isinstance(arguments, dict) or PATH not in str(arguments.get("path")):
        return ToolCheck(False, text=json.dumps(function)[:QUOTED_CHARS])
    identity = str(call.get("id") or "call-1") if isinstance(call, dict) else "call-1"
    sent: JsonObject = {"id": identity, "type": "function", "function": function}
    turn: JsonObject = {"role": "assistant", "content": message.get("content") or "", "tool_calls": [sent]}
    result: JsonObject = {"role": "tool", "tool_call_id": identity, "content": LINES}
    answer = str(_choice(ask([*asked, turn, result], tools=[TOOL]))[0].get("content") or "")
    return ToolCheck(True, answered=LINES in answer, text=answer[:QUOTED_CHARS])


def _stream(base_url: str, body: JsonObject, *, api_key: str | None, seconds: float) -> JsonObject:
    response = respond(f"{base_url.rstrip('/')}/chat/completions", body=body, api_key=api_key, timeout=seconds)
    answer = CompletionAssembler()
    error: object = response.body if response.status != HTTPStatus.OK else None
    try:
        if "data:" not in response.body:  # some servers do not stream together with tools
            whole = json.loads(response.body)
            if isinstance(whole, dict) and whole.get("choices"):
                return whole
        for line in response.body.splitlines():
            data = line.removeprefix("data:").strip()
            if line.startswith("data:") and data != "[DONE]":
                chunk = json.loads(data)
                error = error or chunk.get("error")
                answer.add(chunk)
    except (ValueError, AttributeError):
        error = error or response.body
    if error or not answer.finished:
        text = " ".join(str(error or response.body).split())[:QUOTED_CHARS]
        kind = FailureKind.WRONG_MODEL if names_no_model(text) else FailureKind.ENDPOINT_ERROR
        raise EndpointError(f"answered {response.status} with {text!r}", kind=kind, status=response.status)
    return answer.completion()


def _choice(completion: JsonObject) -> tuple[JsonObject, str]:
    """The message and the finish reason of a completion."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    message = choice.get("message") if isinstance(choice, dict) else None
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    return (message if isinstance(message, dict) else {}), str(reason)


def _prompt_tokens(completion: JsonObject) -> int | None:
    usage = completion.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else None
