"""Reads and writes prompts.jsonl. Every line is checked before anything is queued; writes are atomic."""

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

from pydantic import JsonValue, ValidationError

from config.atomic_files import write_lines, writing
from config.did_you_mean import did_you_mean
from config.errors import UsageError
from config.records import Prompt

BAD_LINES_NAMED: Final = 10  # the others are only counted
KNOWN: Final = tuple(Prompt.model_fields)
SHOWN: Final = 60  # characters of an offending value in a message


@dataclass(frozen=True)
class Loaded:
    """Content of a prompts file."""

    prompts: tuple[Prompt, ...]
    duplicates: tuple[tuple[int, int], ...]
    """(line, line of the first) of repeated records; `prompts` holds only the first."""
    lines: tuple[int, ...]
    """line of each prompt"""


def load(path: Path) -> Loaded:
    """Read a prompts file with one JSON object per line; blank lines, a byte order mark and CRLF are tolerated.

    Raises UsageError if the file cannot be read, contains no prompts or has bad lines. The message lists the first ten
    bad lines as "FILE:LINE: reason" and counts the others.
    """
    prompts: dict[str, Prompt] = {}
    lines: dict[str, int] = {}
    duplicates: list[tuple[int, int]] = []
    faults: list[str] = []
    for number, line in _lines(path):
        try:
            prompt = _prompt(line)
        except UsageError as error:
            faults.append(f"{path}:{number}: {error}")
            continue
        key = prompt.content_hash
        if key in prompts:
            duplicates.append((number, lines[key]))
        else:
            prompts[key], lines[key] = prompt, number
    if faults:
        raise UsageError(_listed(faults))
    if not prompts:
        raise UsageError(f'{path} contains no prompts; write one JSON object per line, such as {{"prompt": "..."}}')
    return Loaded(tuple(prompts.values()), tuple(duplicates), tuple(lines.values()))


def write(prompts: Iterable[Prompt], path: Path) -> None:
    """Write a prompts file atomically; raises UsageError if it cannot be written."""
    if path.is_dir():
        raise UsageError(f"cannot write {str(path)!r}: it is a directory; name a file, such as prompts.jsonl")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, (prompt.model_dump_json(exclude_none=True) for prompt in prompts))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, text) of each line that is not blank."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield number, text.strip()
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error


def _prompt(line: bytes) -> Prompt:
    try:
        record = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON at column {error.colno} ({error.msg}): {_shown(line.decode())}") from error
    except RecursionError as error:
        raise UsageError("nested too deeply to be a prompt") from error
    if not isinstance(record, dict):
        raise UsageError(f"not a JSON object: {_shown(record)}")
    for key in record:
        if key not in KNOWN:
            raise UsageError(f"unknown key {key!r}{did_you_mean(key, KNOWN)}")
    prompt = _checked(record)
    if prompt.expect is not None:
        from config.questions.expected_facts import parse_expected  # 45 ms that no other command needs

        parse_expected(prompt.expect)
    return prompt


def _checked(record: dict[str, JsonValue]) -> Prompt:
    try:
        prompt = Prompt.model_validate(record, strict=True)
    except ValidationError as error:
        raise UsageError(_reason(error)) from error
    if not prompt.prompt.strip():
        raise UsageError("prompt is empty")
    try:
        prompt.model_dump_json()
    except ValueError as error:  # an unpaired surrogate: valid in JSON, not in UTF-8
        raise UsageError("contains half of a surrogate pair, which cannot be encoded as UTF-8") from error
    return prompt


def _reason(error: ValidationError) -> str:
    """The first error of a record, in one clause."""
    fault = error.errors()[0]
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"{field} is missing"
    if fault["type"] == "string_too_short":
        return f"{field} is empty"
    return f"{field} is {_shown(fault['input'])}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _refuse_constant(name: str) -> Never:
    raise UsageError(f"contains {name}, which is not a JSON value")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def _listed(faults: list[str]) -> str:
    named = faults[:BAD_LINES_NAMED]
    rest = len(faults) - len(named)
    return "\n".join([*named, f"and {rest:,} more bad lines"] if rest else named)
