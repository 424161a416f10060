"""prompts.jsonl: every line checked before anything is queued, and written so that it is whole or not there."""

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
from config.questions.expected_facts import parse_expected
from config.records import Prompt

BAD_LINES_NAMED: Final = 10  # enough to see what is wrong; the rest is counted
KNOWN: Final = tuple(Prompt.model_fields)
SHOWN: Final = 60  # characters of an offending value in a message


@dataclass(frozen=True)
class Loaded:
    """What a prompts file holds."""

    prompts: tuple[Prompt, ...]
    duplicates: tuple[tuple[int, int], ...]
    """(line, line of the first) of records that stand there again; only the first is in `prompts`"""


def load(path: Path) -> Loaded:
    """Read a prompts file, one JSON object a line; blank lines, a byte order mark and CRLF are tolerated.

    UsageError names every bad line as "FILE:LINE: reason" (ten of them, and a count of the rest), or says that the file
    cannot be read or holds no prompt.
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
        raise UsageError(f'{path} holds no prompt; write one JSON object a line, such as {{"prompt": "..."}}')
    return Loaded(tuple(prompts.values()), tuple(duplicates))


def write(prompts: Iterable[Prompt], path: Path) -> None:
    """Write a prompts file; a reader sees the old file or the whole new one. UsageError when it cannot be written."""
    if path.is_dir():
        raise UsageError(f"cannot write {str(path)!r}: it is a directory; name a file, such as prompts.jsonl")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, (prompt.model_dump_json(exclude_none=True) for prompt in prompts))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, counted from 1."""
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
    except ValueError as error:  # half of a surrogate pair, which JSON can spell but UTF-8 cannot carry
        raise UsageError("holds half of a surrogate pair, which no UTF-8 text can carry") from error
    return prompt


def _reason(error: ValidationError) -> str:
    """The first thing wrong with a record, in one clause."""
    fault = error.errors()[0]
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"{field} is missing"
    if fault["type"] == "string_too_short":
        return f"{field} is empty"
    return f"{field} is {_shown(fault['input'])}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _refuse_constant(name: str) -> Never:
    raise UsageError(f"holds {name}, which is no JSON value")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def _listed(faults: list[str]) -> str:
    named = faults[:BAD_LINES_NAMED]
    rest = len(faults) - len(named)
    return "\n".join([*named, f"and {rest:,} more bad lines"] if rest else named)
