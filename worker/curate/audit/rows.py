"""One row of a training set as turns with their calls and results, whatever its format."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from config.records import JsonObject
from worker.curate.audit.notations import Call, calls_in, openai_calls
from worker.curate.checks.markup import TOOL_RESULT

ROLES = {"developer": "system", "function": "tool"}  # other names of the same speaker
KNOWN_ROLES = frozenset({"system", "user", "assistant", "tool"})
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
RESPONSE = re.compile(r"<tool_response>\n?(.*?)\n?</tool_response>", re.S)
RESULT_TAG = re.compile(r"</?(?:tool_response|tool_result|function_results?)>")
RESULT_PREFIX = "Tool result:"  # a result as a user turn
SAID_RESULT = re.compile(TOOL_RESULT.pattern + r"[^\S\n]*(?P<result>.*)", TOOL_RESULT.flags)
TOOLS_BLOCK = re.compile(r"<tools>\s*(.*?)\s*</tools>", re.S)


@dataclass(frozen=True)
class Turn:
    """One turn of one role."""

    role: str
    text: str
    calls: tuple[Call, ...] = ()
    results: tuple[str | None, ...] = ()
    """tool results in this turn; None where the file has null"""


@dataclass(frozen=True)
class Row:
    """One training row."""

    source: JsonObject
    turns: tuple[Turn, ...]
    is_text: bool
    """{"text"}: the loss is on everything; else {"messages"}, where a mask can put it on the last message"""
    stray: str = ""
    """markup or text outside the turns, where there is any"""

    @property
    def identity(self) -> bytes:
        """A digest of what the student would see; the same for rows that train the same."""
        return digest(self.source["text"] if self.is_text else [self.whole.hex(), self.source.get("tools")])

    @cached_property
    def whole(self) -> bytes:
        """A digest of all turns; only of a row of messages."""
        return digest(self.source["messages"])

    @property
    def question(self) -> bytes | None:
        """A digest of the first user message, lower-cased, white space folded."""
        first = next((turn.text for turn in self.turns if turn.role == "user"), None)
        return None if first is None else digest(" ".join(first.lower().split()))

    @property
    def conversation(self) -> bytes:
        """A digest that rows of one trajectory share: of the job_id in a row of messages, else of the turns."""
        if self.is_text:
            return self.identity
        job_id = self.source.get("job_id")
        return digest(f"job {job_id}") if isinstance(job_id, str) else self.whole

    @property
    def system(self) -> str:
        """The first system turn's text."""
        return next((turn.text for turn in self.turns if turn.role == "system"), "")

    @property
    def calling(self) -> tuple[int, ...]:
        """Indexes of the turns that make a call."""
        return tuple(index for index, turn in enumerate(self.turns) if turn.calls)

    @cached_property
    def prefixes(self) -> Mapping[int, bytes]:
        """By index of an assistant turn that has more behind it: a digest of the turns up to and with it."""
        messages = self.source["messages"]
        assert isinstance(messages, list)
        earlier = (index for index, turn in enumerate(self.turns[:-1]) if turn.role == "assistant")
        return {index: digest(messages[: index + 1]) for index in earlier}


def digest(value: JsonValue) -> bytes:
    """16 bytes: two of 10^12 different rows share one with a chance under 10^-14."""
    content = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_row(record: JsonObject) -> Row:
    """The row in a line's object. Raises ValueError when it has neither `text` nor `messages`."""
    text, messages = record.get("text"), record.get("messages")
    if isinstance(messages, list) and messages:
        return Row(record, tuple(_message_turn(message) for message in messages), is_text=False)
    if isinstance(text, str):
        turns, stray = _chatml(text)
        return Row(record, turns, is_text=True, stray=stray)
    raise ValueError("no training row: it has neither 'text' nor 'messages'")


def no_argument_tools(row: Row) -> frozenset[str]:
    """Names of the tools that the row's own schemas let be called without arguments."""
    return frozenset(name for name, required in _schemas(row) if not required)


def tool_names(row: Row) -> frozenset[str]:
    """Names of the tools that the row offers."""
    return frozenset(name for name, _ in _schemas(row))


def _message_turn(message: JsonValue) -> Turn:
    if not isinstance(message, dict):
        raise ValueError(f"no training row: a message is {str(message)[:40]!r}, not an object")
    role = ROLES.get(str(message.get("role")), str(message.get("role")))
    content = message.get("content")
    text = _content_text(content)
    if role == "assistant":
        return Turn(role, text, (*openai_calls(message), *calls_in(text)))
    if role == "tool":
        return Turn(role, text, results=(None if content is None else text,))
    return Turn(role, text, results=_results(role, text))


def _content_text(content: JsonValue) -> str:
    """The text of a message, also when it is a list of typed parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else json.dumps(content)


def _chatml(text: str) -> tuple[tuple[Turn, ...], str]:
    """(turns, markup or text outside them)."""
    before, *pieces = text.split(TURN_START)
    if not pieces:
        return (), "no ChatML turn"
    stray = f"text before the first turn: {before.strip()[:40]!r}" if before.strip() else ""
    turns = []
    for place, piece in enumerate(pieces, 1):
        head, _, body = piece.partition("\n")
        content, closed, after = body.partition(TURN_END)
        role = ROLES.get(head.strip(), head.strip())
        turns.append(_text_turn(role, content))
        stray = stray or _stray(role, closed, after, last=place == len(pieces))
    return tuple(turns), stray


def _stray(role: str, closed: str, after: str, *, last: bool) -> str:
    if role not in KNOWN_ROLES:
        return f"a turn of {role[:40]!r}"
    if not closed:
        return "the last turn is not closed" if last else f"a turn of {role!r} is not closed"
    if after.strip():
        return f"text outside the turns: {after.strip()[:40]!r}"
    return (
        "text behind the last turn's end: white space, behind which a second end is trained" if last and after else ""
    )


def _text_turn(role: str, text: str) -> Turn:
    if role == "assistant":
        return Turn(role, text, calls_in(text))
    return Turn(role, text, results=_results(role, text))


def _results(role: str, text: str) -> tuple[str | None, ...]:
    """Tool results in a turn that is not the assistant's."""
    if role == "tool":
        return (text,)
    if role != "user":
        return ()
    if responses := RESPONSE.findall(text):
        return tuple(responses)
    return (text[len(RESULT_PREFIX) :].strip(),) if text.startswith(RESULT_PREFIX) else ()


def without_template_tags(row: Row, turn: Turn) -> str:
    """The text of a turn without the tags that a template writes around tool results; an assistant's is unchanged.

    Qwen's template renders each result as a user turn of <tool_response> blocks, and takes a user message of that form
    for one. The message of a tool is not rendered yet: tags in it would be written twice. System texts describe tags.
    """
    if turn.role == "system":
        return RESULT_TAG.sub("", turn.text)
    if turn.role == "user" or (turn.role == "tool" and row.is_text):
        return RESPONSE.sub(r"\1", turn.text)
    return turn.text


def said_results(turn: Turn) -> tuple[tuple[str, str], ...]:
    """(as written, the result) of each tool result inside an assistant turn, in either form."""
    if turn.role != "assistant":
        return ()
    tagged = ((found.group(), found[1]) for found in RESPONSE.finditer(turn.text))
    lines = ((found.group().strip(), found["result"]) for found in SAID_RESULT.finditer(turn.text))
    return (*tagged, *lines)


def _schemas(row: Row) -> Iterator[tuple[str, bool]]:
    """(name, whether an argument is required) of each tool that the row's field or system turn describes."""
    listed = row.source.get("tools")
    tools: list[JsonValue] = list(listed) if isinstance(listed, list) else []
    for block in TOOLS_BLOCK.findall(row.system):
        tools += [_json(line) for line in block.splitlines()]
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            parameters = function.get("parameters")
            yield str(function["name"]), bool(isinstance(parameters, dict) and parameters.get("required"))


def _json(line: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value
