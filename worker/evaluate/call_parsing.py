"""Parses tool calls in an answer's text: tagged JSON, Qwen3-Coder's XML, or a fenced JSON object."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from config.records import JsonObject, ToolCall

TAGGED = re.compile(r"<tool_call>\s*(?P<body>.*?)\s*(?:</tool_call>|(?=<tool_call>)|\Z)", re.S)
FENCED = re.compile(r"```(?:json|tool_call)?[ \t]*\n(?P<body>\s*\{.*?)\n?[ \t]*```", re.S)
XML = re.compile(r"<function=(?P<name>[^>\n]*)>(?P<body>.*?)(?:</function>|\Z)", re.S)
PARAMETER = re.compile(r"<parameter=([^>\n]*)>\n?(.*?)\n?</parameter>", re.S)
ARGUMENT_KEYS = ("arguments", "args", "parameters")


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer's text, split into prose and calls."""

    before: str
    """the prose up to the last call, without the calls"""
    calls: tuple[ToolCall, ...]
    after: str
    """the prose after the last call; all of the text if there is no call"""


def parse_answer(text: str, *, row: str) -> ParsedAnswer:
    """The calls in a text and the prose around them. Ids are derived from `row` and the call's position."""
    found = sorted(_found(text), key=lambda call: call[0])
    spans = [(start, end) for start, end, _, _ in found]
    prose, at = [], 0
    for start, end in spans:
        prose.append(text[at:start])
        at = max(at, end)
    calls = tuple(
        ToolCall(id=_id(row, place), name=name, arguments=arguments)
        for place, (_, _, name, arguments) in enumerate(found)
    )
    return ParsedAnswer("".join(prose).strip(), calls, text[at:].strip())


def _found(text: str) -> Iterator[tuple[int, int, str, JsonObject | str]]:
    """(start, end, name, arguments). A tag whose content cannot be parsed is a call without a name."""
    for match in TAGGED.finditer(text):
        body = match["body"]
        name, arguments = _xml(body) or _object(body) or ("", body)
        yield match.start(), match.end(), name, arguments
    tagged = [match.span() for match in TAGGED.finditer(text)]
    for pattern in (XML, FENCED):
        for match in pattern.finditer(text):
            inside = any(start <= match.start() < end for start, end in tagged)
            call = _xml(match.group()) if pattern is XML else _object(match["body"])
            if call and not inside:
                yield match.start(), match.end(), *call


def _xml(text: str) -> tuple[str, JsonObject | str] | None:
    match = XML.search(text)
    if match is None:
        return None
    return match["name"].strip(), dict(PARAMETER.findall(match["body"]))


def _object(text: str) -> tuple[str, JsonObject | str] | None:
    """Name and arguments of a JSON object that is a call. None for other JSON, such as a result."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    name = value.get("name", value.get("tool"))
    arguments = next((value[key] for key in ARGUMENT_KEYS if key in value), None)
    if not isinstance(name, str) or arguments is None:
        return None
    return name, arguments if isinstance(arguments, dict) else json.dumps(arguments)


def _id(row: str, place: int) -> str:
    return f"call-{hashlib.sha256(f'{row}/{place}'.encode()).hexdigest()[:8]}"
