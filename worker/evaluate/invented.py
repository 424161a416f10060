"""Detects conversation that a student invents: turns of other roles, and results that no tool returned.

Covered: chat markers of common templates, lines that open another speaker's turn, headings and tags that announce a
tool result, and lines in the format of a grep result that are not in any real result. Not covered: results in prose.
"""

import re
from collections.abc import Iterable

from config.records import Message

MARKER = re.compile(
    r"<\|(?:im_start|im_end|im_sep|eot_id|start_header_id|end_header_id|user|assistant|system)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)
SPEAKER = re.compile(  # a role before three words or a line break; "User: app/models.py" is a list entry
    r"(?im)^[ \t]*(?:\*\*|#{1,4} ?)?(?:user|human|assistant|ai)(?:\*\*)?:(?:\*\*)?[ \t]*(?:$|(?:[^\s`]+[ \t]+){2,}\S)"
)
HEADING = re.compile(r"(?im)^[ \t]*#{2,4} ?(?:user|human|assistant|instruction|response)\b:?[ \t]*$")
RESULT = re.compile(
    r"(?im)^[ \t]*(?:\*\*)?tool[ _](?:result|response|output)s?(?:\*\*)?[ \t]*:|^[ \t]*observation[ \t]*:"
    r"|</?tool_(?:response|result|output)s?\b|</?function_results?\b|```tool_(?:result|response|output)"
    r"|\[tool execution [a-z]+\]"
)
GREP_LINE = re.compile(r"(?m)^[ \t]*(?P<place>[\w./-]+\.\w{1,5}:\d+): ?(?P<text>\S.*?)[ \t]*$")


def invented_turn(text: str) -> str | None:
    """The rest of the first line in an assistant's text that opens or closes another turn."""
    found = [match for pattern in (MARKER, SPEAKER, HEADING) if (match := pattern.search(text))]
    if not found:
        return None
    first = min(found, key=lambda match: match.start())
    return text[first.start() :].strip().partition("\n")[0]


def invented_result(text: str, results: Iterable[str]) -> str | None:
    """The rest of the first line in an assistant's text that imitates a tool result. `results` are the real ones."""
    if found := RESULT.search(text):
        return text[found.start() :].strip().partition("\n")[0]
    real = [_folded(result) for result in results]
    for quoted in GREP_LINE.finditer(text):  # a real path with a real line is not invented
        if not any(_folded(quoted["text"]) in result for result in real):
            return quoted.group().strip()
    return None


def texts(messages: Iterable[Message]) -> list[str]:
    """The assistant's texts, turn by turn."""
    return [message.content for message in messages if message.role == "assistant" and message.content]


def _folded(text: str) -> str:
    return " ".join(text.split()).strip("`")
