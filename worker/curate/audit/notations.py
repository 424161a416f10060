"""Calls as training sets write them: an OpenAI field, tagged JSON, fenced JSON, bare JSON or Qwen3-Coder's XML."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue


class Notation(StrEnum):
    """How a call is written in a row."""

    OPENAI = "openai"  # the tool_calls field of a message
    TAGGED = "tool_call"  # <tool_call>{"name": ..., "arguments": ...}</tool_call>
    FENCED = "fenced_json"  # the same object in a fenced code block
    BARE = "bare_json"  # the object is the whole turn
    XML = "function_xml"  # <function=NAME><parameter=KEY>value</parameter></function>


@dataclass(frozen=True)
class Call:
    """One call of an assistant turn."""

    name: str
    notation: Notation
    empty: bool = False
    """it has no arguments"""
    fault: str = ""
    """why a template or a server could not read it, "" if it can"""


TAG = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.S)
FUNCTION = re.compile(r"<function=([^>\n]*)>(.*?)(?:</function>|\Z)", re.S)
FENCE = re.compile(r"```(?:json|tool_call)?[ \t]*\n(.*?)\n?[ \t]*```", re.S)
MARKS = ("<tool_call>", "<function=", "```", '"name"')  # a turn without any of them makes no call


def calls_in(text: str) -> tuple[Call, ...]:
    """The calls an assistant turn's text makes, in any notation but OpenAI's."""
    if not any(mark in text for mark in MARKS):
        return ()
    xml = tuple(Call(name, Notation.XML, empty="<parameter=" not in body) for name, body in FUNCTION.findall(text))
    tagged = tuple(_tagged(body) for body in TAG.findall(text) if not body.startswith("<function="))
    if xml or tagged:
        return xml + tagged
    fenced = tuple(call for body in FENCE.findall(text) if (call := _object(body, Notation.FENCED)))
    if fenced:
        return fenced
    bare = _object(text, Notation.BARE) if text.lstrip().startswith("{") else None
    return (bare,) if bare else ()


def openai_calls(message: dict[str, JsonValue]) -> Iterator[Call]:
    """The calls in a message's tool_calls, or its older function_call."""
    listed = message.get("tool_calls")
    calls = list(listed) if isinstance(listed, list) else []
    if message.get("function_call"):
        calls.append(message["function_call"])
    for call in calls:
        inner = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            yield _openai(str(inner["name"]), inner.get("arguments"))
        else:
            yield Call("", Notation.OPENAI, fault="a call without a function name")


def _openai(name: str, arguments: JsonValue) -> Call:
    if isinstance(arguments, dict):
        return Call(name, Notation.OPENAI, empty=not arguments)
    if isinstance(arguments, str) and arguments.strip():
        empty = arguments.strip() in ("{}", "null")
        return Call(name, Notation.OPENAI, empty, fault="arguments are text, which templates encode a second time")
    return Call(name, Notation.OPENAI, empty=not arguments, fault="" if not arguments else "arguments are no object")


def _tagged(body: str) -> Call:
    return _object(body, Notation.TAGGED) or Call("", Notation.TAGGED, fault=f"no call in its tags: {body[:60]!r}")


def _object(body: str, notation: Notation) -> Call | None:
    """The call that a JSON object describes; None if it does not describe one."""
    if '"name"' not in body:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or "arguments" not in value:
        return None
    return Call(value["name"], notation, empty=not value["arguments"] or value["arguments"] == "{}")
