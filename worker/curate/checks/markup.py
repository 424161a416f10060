"""Checks for text that would be parsed as structure: chat markup anywhere, tool calls in the assistant's text."""

import re
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise

from config.errors import RejectionReason
from config.records import Finding, Message, Trajectory
from worker.curate.checks.call_detection import call_text

NAMES = (
    r"im_start|im_end|im_sep|endoftext|eot_id|eom_id|start_header_id|end_header_id|begin_of_text|end_of_text"
    r"|fim_(?:prefix|middle|suffix|pad)|repo_name|file_sep|python_tag|tool_call_start|tool_call_end|tool_list_start"
    r"|tool_list_end|assistant|user|system|end|channel|message|return"
)
MARKUP = re.compile(
    rf"<\|(?:{NAMES})\|>"  # a complete control token
    r"|<\|(?:im_start|im_end|endoftext|eot_id)\b|\b(?:im_start|im_end|endoftext|eot_id)\|>"  # or half of one
    r"|</?tool_response\b>?|</?tool_result>|</?function_results?>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<\uff5c[^\uff5c<>]{1,40}\uff5c>"
)
IN_MARKUP = ("<", "|>", "INST]")  # every match of MARKUP contains one of these; a much faster pre-filter
CALL_TAGS = re.compile(r"</?tool_call>|<function=\w|</function>\s*</tool_call>")  # in a user's or a tool's text
REASONING = re.compile(r"</?(?:think|thinking|reasoning)>")  # in an assistant's text; capture leaves it out
INVENTED = re.compile(
    r"(?m)^\s*(?:\*\*)?(?:user|human)(?:\*\*)?\s*:(?:.*\n)+?\s*(?:\*\*)?(?:assistant|ai)(?:\*\*)?\s*:", re.I
)
TOOL_RESULT = re.compile(r"(?im)^\s*(?:\*\*)?tool[ _](?:result|response|output)s?(?:\*\*)?\s*:")


def chat_markup(special: frozenset[str] = frozenset()) -> Callable[[Trajectory], Iterator[Finding]]:
    """The check for chat markup in any text. The student's `special` tokens count as markup."""
    special_token = (
        re.compile("|".join(re.escape(token) for token in sorted(special, key=len, reverse=True))) if special else None
    )

    def check(trajectory: Trajectory) -> Iterator[Finding]:
        for index, where, text in texts(trajectory):
            patterns = (MARKUP if _any_of(IN_MARKUP, text) else None, special_token if _any_of(special, text) else None)
            for pattern in patterns:
                if pattern and (found := pattern.search(text)):
                    yield _markup(f"{found.group()!r} in {where}", index)
                    break
        yield from _tags_of_role(trajectory)
        yield from _invented_turns(trajectory)
        yield from _split_markup(trajectory)

    return check


def _any_of(parts: Collection[str], text: str) -> bool:
    return any(part in text for part in parts)


def leaked_tool_call(trajectory: Trajectory) -> Iterator[Finding]:
    """Tool calls in the assistant's text, in any notation, complete or cut off."""
    names = tool_names(trajectory)
    for index, message in enumerate(trajectory.messages):
        if message.role == "assistant" and (found := call_text(message.content or "", names)):
            yield Finding(
                reason=RejectionReason.LEAKED_TOOL_CALL,
                detail=f"tool call {found[:80]!r} in the assistant's text",
                message=index,
            )


def tool_names(trajectory: Trajectory) -> frozenset[str]:
    """Names of the tools that were offered or called."""
    functions = (tool.get("function") for tool in trajectory.tools)
    offered = [function.get("name") for function in functions if isinstance(function, dict)]
    called = [call.name for call in trajectory.tool_calls]
    return frozenset(name for name in (*offered, *called) if isinstance(name, str))


def texts(trajectory: Trajectory) -> Iterator[tuple[int | None, str, str]]:
    """Every text with its message index and a description of its place."""
    yield None, "the system prompt", trajectory.system_prompt
    for index, message in enumerate(trajectory.messages):
        yield index, f"the {message.role}'s text", message.content or ""
        for call in message.tool_calls:
            yield index, "a call's name", call.name
            for text in strings(call.arguments):
                yield index, "a call's arguments", text


def strings(value: object) -> Iterator[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def _tags_of_role(trajectory: Trajectory) -> Iterator[Finding]:
    for index, message in enumerate(trajectory.messages):
        tags = REASONING if message.role == "assistant" else CALL_TAGS
        if found := tags.search(message.content or ""):
            yield _markup(f"{found.group()!r} in the {message.role}'s text", index)


def _invented_turns(trajectory: Trajectory) -> Iterator[Finding]:
    for index, message in enumerate(trajectory.messages):
        text = message.content or ""
        if message.role == "assistant" and (found := INVENTED.search(text) or TOOL_RESULT.search(text)):
            yield _markup(f"an invented turn, {found.group().strip()[:60]!r}, in the assistant's text", index)


def _split_markup(trajectory: Trajectory) -> Iterator[Finding]:
    """A control token that starts in one message and ends in the next."""
    for (index, first), (_, second) in pairwise(enumerate(trajectory.messages)):
        tail, head = _tail(first), (second.content or "")[:24]
        found = next((m for m in MARKUP.finditer(tail + head) if m.start() < len(tail) < m.end()), None)
        if found:
            yield _markup(f"{found.group()!r} is split across two messages", index + 1)


def _tail(message: Message) -> str:
    return (message.content or "")[-24:]


def _markup(detail: str, index: int | None) -> Finding:
    return Finding(reason=RejectionReason.CHAT_MARKUP, detail=detail, message=index)
