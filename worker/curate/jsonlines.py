"""Reads untrusted JSON lines. A bad line never stops the reading: it becomes an error with a reason."""

import json
import math
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from pydantic import JsonValue, ValidationError

from config.records import JsonObject

MAX_LINE = 64 << 20  # bytes; a longer line is not a conversation, and memory must be bounded
MAX_DEPTH = 100  # pydantic writes at most 200 levels, and a record adds a few
BOM = b"\xef\xbb\xbf"


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line without its ending) of every non-blank line. Longer lines are cut just above MAX_LINE."""
    number = 0
    while line := file.readline(MAX_LINE + 2):
        number += 1
        complete = line.endswith(b"\n")
        if number == 1:
            line = line.removeprefix(BOM)
        if line.strip():
            yield number, line.rstrip(b"\r\n") if complete else line
        while not complete and len(line) > MAX_LINE:
            rest = file.readline(MAX_LINE)
            complete = not rest or rest.endswith(b"\n")


def parse_object(line: bytes) -> JsonObject:
    """The JSON object on a line. Raises ValueError if there is none, or if it could not be written again."""
    if len(line) > MAX_LINE:
        raise ValueError(f"longer than {MAX_LINE >> 20} MB")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}") from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object: {text[:40]!r}")
    if text.count("{") + text.count("[") > MAX_DEPTH and too_deep(value):
        raise ValueError("nested too deeply")
    if "\\u" in text:
        _refuse_half_characters(value)
    return value


def first_error(error: ValidationError) -> str:
    """The first validation error as text, with the number of further ones."""
    first, *others = error.errors(include_url=False)
    more = f" (and {len(others)} more)" if others else ""
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg']}, not {repr(first['input'])[:60]}{more}"


def too_deep(value: JsonValue) -> bool:
    """Whether lists and objects are nested more than MAX_DEPTH levels deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for outer in level if isinstance(outer, dict | list) for item in _items(outer)]
        if not level:
            return False
    return True


def _items(outer: dict[str, JsonValue] | list[JsonValue]) -> Iterator[JsonValue]:
    return iter(outer.values() if isinstance(outer, dict) else outer)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"not JSON: the number {digits!r} is too large")
    return value


def _refuse_half_characters(value: JsonObject) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("not text: it has half of a surrogate pair (\\ud800 to \\udfff)") from None
