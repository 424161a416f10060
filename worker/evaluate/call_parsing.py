"""Parses tool calls in an answer's text: tagged JSON, Qwen3-Coder's XML, or a fenced JSON object.

Only the JSON object or the XML belongs to a call. Text behind it stays prose, also behind a tag that is never closed,
so that a turn or a result invented there is seen. A call that cannot be parsed keeps its whole text as its arguments.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from config.records import JsonObject, ToolCall
from worker.evaluate.json_prefix import is_json_prefix

OPENING = re.compile(r"(?<!`)<tool_call>\s*|(?<!`)(?=<function=[\w.-]+>)")
CLOSING = re.compile(r"\s*</tool_call>")
FENCE = re.compile(
    r"(?P<use>(?:I'll|I will) use the `?[\w.-]+`? tool\.?\s*)?```(?:json|tool_call)?[ \t]*\n(?=\s*(?:\{|\Z))"
)
FENCE_END = re.compile(r"\s*\n?[ \t]*```")
XML = re.compile(r"<function=(?P<name>[^>\n]*)>(?P<body>.*?)</function>", re.S)
PARAMETER = re.compile(r"<parameter=([^>\n]*)>\n?(.*?)\n?</parameter>", re.S)
# Where a call that does not parse ends: its closing tag, the next call, or another turn or result.
BOUNDARY = re.compile(
    r"</?tool_call>|</?tool_(?:response|result)s?\b|<\|(?:im_start|im_end|eot_id|end|user|assistant)\|>"
    r"|(?im:^[ \t]*(?:tool (?:result|response|output)s?|observation|user|human|assistant)[ \t]*:)"
)
EXTRA_BRACES = re.compile(r"[\s\]},;]*[\]}][\s\]},;]*(?=</tool_call>)")  # one too many
BARE = re.compile(r"(?m)^(?=\{\s*\"(?:name|tool)\"\s*:)")
CALL_BEGINS = re.compile(r"\s*\{\s*[\"'](?:name|tool)[\"']\s*:\s*[\"'][\w.-]*")
NAME = re.compile(r"[\"'](?:name|tool)[\"']\s*:\s*[\"']([\w.-]+)[\"']|<function=([\w.-]+)>")
ARGUMENT_KEYS = ("arguments", "args", "parameters")

_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer's text, split into prose and calls."""

    before: str
    """the prose up to the last call, without the calls"""
    calls: tuple[ToolCall, ...]
    after: str
    """the prose after the last call; all of the text if there is no call"""


@dataclass(frozen=True)
class Found:
    """A call in a text, from `start` to `end`. Arguments that are text could not be parsed as an object."""

    start: int
    end: int
    name: str
    arguments: JsonObject | str


def parse_answer(text: str, *, row: str) -> ParsedAnswer:
    """The calls in a text and the prose around them. Ids are derived from `row` and the call's position."""
    prose, at, calls = [], 0, []
    for place, found in enumerate(_found(text)):
        prose.append(text[at : found.start])
        at = found.end
        calls.append(ToolCall(id=_id(row, place), name=found.name, arguments=found.arguments))
    return ParsedAnswer("".join(prose).strip(), tuple(calls), text[at:].strip())


def is_cut(arguments: JsonObject | str) -> bool:
    """Whether the text of a call that could not be parsed ends in the middle: max_tokens or the text's end cut it."""
    if not isinstance(arguments, str):
        return False
    text = OPENING.sub("", arguments, count=1) if arguments.startswith("<") else arguments
    text = FENCE.sub("", text, count=1)
    if text.rstrip().endswith(("</tool_call>", "</function>", "```")):
        return False
    return not text.strip() or text.startswith("<function=") or is_json_prefix(text)


def _found(text: str) -> Iterator[Found]:
    """The calls in the order of the text; none overlap."""
    at = 0
    while True:
        starts = [match for pattern in (OPENING, FENCE, BARE) if (match := pattern.search(text, at))]
        if not starts:
            return
        first = min(starts, key=lambda match: match.start())
        parse = {FENCE: _fenced, BARE: _bare}.get(first.re, _tagged)
        found = parse(text, first)
        if found is not None:
            yield found
        at = max(found.end if found else first.end(), first.start() + 1)


def _tagged(text: str, opening: re.Match[str]) -> Found:
    start, body = opening.start(), opening.end()
    if xml := XML.match(text, body):
        arguments: JsonObject = _json_body(xml["body"]) or dict(PARAMETER.findall(xml["body"]))
        return Found(start, _closed(text, xml.end()), xml["name"].strip(), arguments)
    if (decoded := _decoded(text, body)) and not EXTRA_BRACES.match(text, decoded[1]):
        end = _closed(text, decoded[1])
        return Found(start, end, *(_call(decoded[0]) or ("", text[start:end])))
    boundary = BOUNDARY.search(text, body)
    end = boundary.start() if boundary else len(text)
    if boundary and boundary.group() == "</tool_call>":
        end = boundary.end()
    return Found(start, end, _name(text[body:end]), text[start:end].rstrip())


def _fenced(text: str, fence: re.Match[str]) -> Found | None:
    """The call in a fence; None for other JSON, such as a result."""
    start, body = fence.end() - len(fence.group()) + len(fence["use"] or ""), fence.end()
    if decoded := _decoded(text, body):
        closing = FENCE_END.match(text, decoded[1])
        call = _call(decoded[0])
        return Found(start, closing.end() if closing else decoded[1], *call) if call else None
    closing = re.compile("```").search(text, body)
    piece = text[body : closing.start() if closing else len(text)]
    if CALL_BEGINS.match(piece) or (fence["use"] and not closing):
        end = closing.end() if closing else len(text)
        return Found(start, end, _name(piece), text[start:end].rstrip())
    return None


def _bare(text: str, opening: re.Match[str]) -> Found | None:
    """A call without a tag that ends in the middle. A whole one is a call as text, which nobody runs: prose here."""
    piece = text[opening.start() :]
    if not is_json_prefix(piece):
        return None
    return Found(opening.start(), len(text), _name(piece), piece.rstrip())


def _json_body(text: str) -> JsonObject:
    """The object between the tags of <function=NAME>{...}</function>, Llama's notation; {} if there is none."""
    decoded = _decoded(text, 0)
    return dict(decoded[0]) if decoded and isinstance(decoded[0], dict) else {}


def _decoded(text: str, at: int) -> tuple[object, int] | None:
    """The JSON object that begins here and its end."""
    while at < len(text) and text[at].isspace():
        at += 1
    if not text.startswith("{", at):
        return None
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None


def _closed(text: str, end: int) -> int:
    closing = CLOSING.match(text, end)
    return closing.end() if closing else end


def _call(value: object) -> tuple[str, JsonObject | str] | None:
    """Name and arguments of a JSON object that is a call. None for other JSON, such as a result."""
    if not isinstance(value, dict):
        return None
    name = value.get("name", value.get("tool"))
    arguments = next((value[key] for key in ARGUMENT_KEYS if key in value), None)
    if not isinstance(name, str) or arguments is None:
        return None
    return name, arguments if isinstance(arguments, dict) else json.dumps(arguments)


def _name(text: str) -> str:
    named = NAME.search(text)
    return (named[1] or named[2]) if named else ""


def _id(row: str, place: int) -> str:
    return f"call-{hashlib.sha256(f'{row}/{place}'.encode()).hexdigest()[:8]}"
