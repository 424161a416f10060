"""Finds the recorded answers in a file of JSON lines, or of one JSON value nested as evaluation scripts write it.

{"prompt": ..., "response": ...}                       one a line, in a list, or as the only one
{"results": [...]}, {"model": {"outputs": [...]}}      at any depth, under any names
{"prompt": ..., "responses": ["...", "..."]}           several answers to one prompt
{"prompts": ["...", ...], "responses": ["...", ...]}   side by side
["...", ...], {"id": "...", ...}                       plain texts, where a file has no other answers
    {"prompt": ..., "choices": [{"message": {...}}]}       responses of a chat API
    [{"role": "user", ...}, {"role": "assistant", ...}]    conversations, under any name, also with "from" and "value"
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from config.errors import UsageError
from config.records import JsonObject
from worker.curate.jsonlines import numbered_lines, parse_object

PROMPT_KEYS = ("prompt", "question", "instruction", "input", "query", "problem", "task")
ANSWER_KEYS = (
    *("answer", "response", "output", "completion", "generated", "generated_text", "model_output", "prediction"),
    *("generation", "reply", "final_answer", "model_response", "pred"),
)
OF_TEXT = ("text", "content")  # keys of an answer that is an object
PLURAL = (*(f"{key}s" for key in ANSWER_KEYS), "generations", "samples", "resps", *ANSWER_KEYS)
SETTINGS = frozenset(
    {"config", "args", "settings", "metadata", "meta", "info", "params", "parameters", "versions", "env"}
)
INHERITED = ("category", "expect", "requires_tools")
MOST_BYTES = 256 << 20  # of a file that is one JSON value; JSON lines have no limit


@dataclass(frozen=True)
class Entry:
    """One answer in a file, or the problem with what stands there."""

    where: str
    """the line as a number, or the path to it in the JSON value, "results[3]"; "" for the value itself"""
    line: int | None = None
    """counted from 1, where the file has JSON lines"""
    record: JsonObject | None = None
    problem: str | None = None


def entries(path: Path) -> Iterator[Entry]:
    """Every answer of a file, in reading order. A line without an answer is an entry with a problem."""
    whole = _whole(path)
    if whole is not None:
        yield from _checked(_found(whole), line=None)
        return
    with path.open("rb") as file:
        for number, line in numbered_lines(file):
            try:
                value = parse_object(line)
            except ValueError as error:
                yield Entry(str(number), number, problem=str(error))
            else:
                yield from _checked(list(_answers(value, "")) or [("", value)], line=number)


def _whole(path: Path) -> JsonValue:
    """The file as one JSON value; None if it has JSON lines. Raises UsageError if it is too large for one value."""
    with path.open("rb") as file:
        lines = numbered_lines(file)
        first, second = next(lines, None), next(lines, None)
    if first is None or not first[1].lstrip().startswith((b"{", b"[", b'"')):
        return None
    if second is not None and _parsed(first[1]) is not None:
        return None  # the first line is whole, and more follow
    if path.stat().st_size > MOST_BYTES:
        raise UsageError(f"{str(path)!r} is one JSON value of over {MOST_BYTES >> 20} MB; write one answer a line")
    return _parsed(path.read_bytes())


def _parsed(content: bytes) -> JsonValue:
    """The JSON value, None if there is none. NaN is read as null."""
    try:
        value: JsonValue = json.loads(content.decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return value


def _found(whole: JsonValue) -> list[tuple[str, JsonValue]]:
    """The answers of a value: records, or plain texts where it has none; the value itself if it has neither."""
    found = list(_answers(whole, "")) or list(_texts(whole, ""))
    return found or [("", whole if isinstance(whole, dict) else {})]


def _checked(found: list[tuple[str, JsonValue]], *, line: int | None) -> Iterator[Entry]:
    for path, value in found:
        where = str(line) if line else path
        try:
            yield Entry(where, line, parse_object(json.dumps(value).encode()))
        except (ValueError, RecursionError) as error:
            yield Entry(where, line, problem=str(error))


def _answers(value: JsonValue, path: str, above: JsonObject | None = None) -> Iterator[tuple[str, JsonValue]]:
    """The records below a value. They inherit the prompt and the expectation of the objects around them."""
    if isinstance(value, list):
        if (chat := _chat(value)) is not None:
            yield path, {**(above or {}), "messages": chat}
            return
        for place, item in enumerate(value):
            yield from _answers(item, f"{path}[{place}]", above)
        return
    if not isinstance(value, dict):
        return
    inherited = (above or {}) | {key: value[key] for key in (*PROMPT_KEYS, *INHERITED) if key in value}
    if several := _several(value, inherited):
        yield from ((f"{path}{key}", record) for key, record in several)
    elif is_answer(value):
        yield path, inherited | value
    else:
        for key, inner in value.items():
            yield from _answers(inner, f"{path}.{key}" if path else key, inherited)


def _chat(items: list[JsonValue]) -> list[JsonValue] | None:
    """The messages of a list of turns; None for any other list."""
    roles = {"human": "user", "gpt": "assistant", "function": "tool", "observation": "tool"}
    turns = [item for item in items if isinstance(item, dict)]
    if not items or len(turns) != len(items):
        return None
    if all(isinstance(turn.get("role"), str) for turn in turns):
        return items
    if all(isinstance(turn.get("from"), str) and "value" in turn for turn in turns):
        return [{"role": roles.get(str(turn["from"]), str(turn["from"])), "content": turn["value"]} for turn in turns]
    return None


def is_answer(record: JsonObject) -> bool:
    """Whether an object is one answer: a conversation, a text, or a response of a chat API."""
    chat = record.get("messages")
    if isinstance(chat, list) and all(isinstance(message, dict) for message in chat):
        return True
    if isinstance(record.get("text"), str) or isinstance(record.get("choices"), list):
        return True
    if any(_is_text(record.get(key)) for key in ANSWER_KEYS) or ("query" in record and "tool_calls" in record):
        return True
    return any(key in record and record[key] is None for key in ANSWER_KEYS) and bool(set(record) & {*PROMPT_KEYS})


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and any(isinstance(value.get(k), str) for k in OF_TEXT))


def _several(value: JsonObject, inherited: JsonObject) -> list[tuple[str, JsonObject]]:
    """The answers of an object that lists texts: to its one prompt, or to prompts listed beside them."""
    key = next((key for key in PLURAL if _all_texts(value.get(key))), None)
    texts = _flat(value[key]) if key else []
    prompts = next(
        (found for name in PROMPT_KEYS for k in (f"{name}s", name) if _all_texts(found := value.get(k))), None
    )
    single = any(isinstance(value.get(name), str) for name in PROMPT_KEYS)
    if not key or not (single or (isinstance(prompts, list) and len(prompts) == len(texts))):
        return []
    rest = {k: v for k, v in inherited.items() if k not in PROMPT_KEYS or isinstance(v, str)}
    asked: list[JsonObject] = (
        [{"prompt": prompt} for prompt in prompts] if isinstance(prompts, list) else [{}] * len(texts)
    )
    return [(f".{key}[{n}]", {**rest, **asked[n], "answer": text}) for n, text in enumerate(texts)]


def _texts(value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
    """Plain texts: the items of lists, and the values of objects that map names to texts."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            here = f"{path}[{place}]"
            if isinstance(item, str):
                yield here, {"answer": item}
            else:
                yield from _texts(item, here)
    elif isinstance(value, dict):
        is_map = bool(value) and all(isinstance(text, str) for text in value.values())
        is_map = is_map and not set(value) & {*PROMPT_KEYS, *SETTINGS}
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            if is_map:
                yield here, {"answer": item}
            elif key not in SETTINGS:
                yield from _texts(item, here)


def _all_texts(value: JsonValue) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in _flat(value))


def _flat(value: JsonValue) -> list[JsonValue]:
    """A list with the lists in it opened: some harnesses write one list of samples per prompt."""
    items = value if isinstance(value, list) else []
    return [inner for item in items for inner in (item if isinstance(item, list) else [item])]
