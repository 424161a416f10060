"""Finds raw tool results in an answer: a dump of them is not an answer, however it is marked up.

Raw are lines as grep, ripgrep and read_file print them, also as bullets, quotations or table rows, and JSON of results.
A line whose place is set apart from its code ("`app.py:3`: class Task") was written by the model and is not raw.
"""

import ast
import json
import re
from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue

_MARKS: Final = r"(?:>+\s*|[-*+\u2022]\s+|\d{1,3}[.)]\s+|\[\d{1,3}\]\s+|\|\s*|[\"'`]+|\*\*)*+"  # bullet, quotation, ...
_LABEL: Final = (  # "Tool result:", "grep:", "The output is"
    r"(?:\*\*|__)?(?:(?:the|this|here|is|are|tool|search|grep|read_file|count|find_files|list_dir|raw|command)\s+)*"
    r"(?:grep|read_file|results?|outputs?|response|matches|observation)"
    r"(?:(?:\*\*|__)?\s*(?:=>|->|:)(?:\*\*|__)?\s*|\s+(?:is|are|was|were)\s*:?\s*)"
)
_PLACED: Final = r"(?:[\w./+-]+:\d+:(?:\d+:)?|[\w./+-]+-\d+-|\d+:)"  # grep, its context lines, read_file
RAW_LINE: Final = re.compile(
    rf"^[ \t]*(?:{_MARKS}(?:{_LABEL})?{_MARKS}{_PLACED}|\d+[ \t]*\|(?=[ \t])|(?<=[ \t])\d+\t)[ \t]*\S.*$",
    re.MULTILINE | re.IGNORECASE,
)
_HEADING: Final = re.compile(r"^[\w./+-]+\n(?=\d+[:-]\s*\S)", re.MULTILINE)  # ripgrep: the file above its lines
_NOTE: Final = re.compile(r"^\[[^\[\]\n]*\bnot (?:shown|searched)\b[^\[\]\n]*\]$", re.MULTILINE)  # of the tools' cuts
_TAG: Final = re.compile(r"</?(?:tool_response|tool_result|tool_output|function_results?|results?|output|observation)>")
_ONLY_LABELS: Final = re.compile(rf"(?:\s*+(?:{_LABEL}|```\w*|~~~\w*))*+\s*", re.IGNORECASE)
_OPENING: Final = re.compile(r"[\[{]")
_RESULT_KEYS: Final = frozenset({"result", "results", "output", "stdout", "matches", "tool_call_id"})
_LINE_KEYS: Final = frozenset({"line", "line_number", "lineno", "line_no"})
_TEXT_KEYS: Final = frozenset({"path", "file", "filename", "text", "content", "match", "lines"})
_MOST_CHARS: Final = 40_000  # of an answer in which JSON is searched
_MOST_OPENINGS: Final = 60  # brackets tried


def without_results(answer: str) -> str:
    """The answer without its raw results."""
    text = _TAG.sub("\n", _without_json(answer[:_MOST_CHARS]))
    return _NOTE.sub("", RAW_LINE.sub("", _HEADING.sub("", text)))


def is_dump(answer: str) -> bool:
    """Whether nothing but raw results and labels for them is in the answer."""
    if not answer.strip():
        return False
    return _ONLY_LABELS.fullmatch(without_results(answer)) is not None or _is_code(answer)


def _without_json(text: str) -> str:
    kept: list[str] = []
    at = 0
    for start, end in _json_results(text):
        kept.append(text[at:start])
        at = end
    return "".join((*kept, text[at:]))


def _json_results(text: str) -> Iterator[tuple[int, int]]:
    """Where the text has JSON, or Python's form of it, that holds results."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_MOST_OPENINGS):
        opening = _OPENING.search(text, at)
        if opening is None:
            return
        start = opening.start()
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value, end = _python_value(text[start:]), len(text)
        if _is_result(value):
            yield start, end
            at = end
        else:
            at = start + 1


def _python_value(text: str) -> JsonValue:
    """A list or dict as Python prints it, alone in the text; None otherwise."""
    written = re.sub(r"\n?(?:```|~~~)\s*\Z", "", text.strip())
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, list | dict) else None


def _is_result(value: JsonValue) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and not RAW_LINE.sub("", value).strip()
    if isinstance(value, list):
        return bool(value) and all(map(_is_result, value))
    if isinstance(value, dict):
        keys = {str(key).lower() for key in value}
        is_match = bool(keys & _LINE_KEYS) and bool(keys & _TEXT_KEYS)
        return bool(keys & _RESULT_KEYS) or is_match or any(map(_is_result, value.values()))
    return False


def _is_code(answer: str) -> bool:
    """Whether the whole answer is code of several lines, as read_file shows it. A bare signature is an answer."""
    code = re.sub(r"^\s*(?:```|~~~).*$", "", answer, flags=re.MULTILINE).strip("\n")
    if code.strip().count("\n") < 1:
        return False
    try:
        tree = ast.parse(code)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _has_body(node)
        for node in tree.body
    )


def _has_body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(
        not isinstance(line, ast.Pass)
        and not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and line.value.value is ...)
        for line in node.body
    )
