"""Checks of tool results: missing, null, unpaired or placeholder results, and errors that were not retried."""

import re
from collections import Counter
from collections.abc import Iterator

from config.errors import RejectionReason
from config.records import Finding, Message, Trajectory
from worker.curate.chat import calls, results

# Texts that, as the whole result, are a placeholder for one.
PLACEHOLDER = re.compile(
    r"""(?ix) ^\W* (?:
        none | null | nil | undefined | nan | n/?a | tbd | todo | placeholder | lorem\ ipsum\b.* | object\ object
      | (?:the\ )? (?:tool|function|command) (?:\ (?:call|execution))? (?:\ was)? (?:\ \w+)?
            \ (?:completed|executed|finished|succeeded|called|done|ran) (?:\ successfully)?
      | (?:execution|call) \ (?:completed|finished|succeeded) (?:\ successfully)?
      | (?:insert|add|put) \b .{0,40} \b (?:result|output|content|response)s? \b .{0,20}
      | (?:tool|function|command|actual|real|your|some|the|mock|fake|dummy|example|sample|simulated|expected)?
            [\ _-]? (?:results?|outputs?|response|contents?|tool_results?)
            (?:[\ _-]?(?:goes|comes|will\ be|is)?[\ _-]?
                (?:here|omitted|removed|elided|unavailable|placeholder|pending|simulated))?
    ) \W*$"""
)
# Unfilled template text, as the whole result.
LEFTOVER = re.compile(
    r"(?s)^\s*(?:\{\{.*?\}\}|\$\{[^}]*\}|\{%.*?%\}|\{[a-z_]+\}|<[a-z_ ]+>|%\([a-z_]+\)s|\.{3,}|…)\s*$"
)
RETRY = re.compile(r"(?i)\b(?:fix the errors?|try again|retry|correct (?:the|your) (?:arguments?|call))\b")
ADMITS = re.compile(
    r"(?i)\b(?:not? (?:\w+ )?(?:exist|found|find|able|available|possible|such|matche?s?|results?|contain|defined?)\w*"
    r"|n[o']t\b|cannot|could ?n.t|does ?n.t|unable|fail\w*|error\w*|missing|denied|invalid|refused|outside|without"
    r"|no|nothing)\b"
)


def null_result(trajectory: Trajectory) -> Iterator[Finding]:
    """A call whose result is missing or null.

    Text is a result, even "no matches". A tool may return empty text: it counts as null only if no call returned any
    text and the answer does not report that nothing was found.
    """
    found = results(trajectory)
    has_text = any((result.content or "").strip() for result in found.values())
    silent = not has_text and not ADMITS.search(trajectory.answer)
    for index, call in calls(trajectory):
        result = found.get(call.id)
        if result is None:
            what = "is missing"
        elif result.content is None:
            what = "is null"
        elif silent and trajectory.outcome == "completed":
            what = "is empty text, which the answer does not report"
        else:
            continue
        yield Finding(
            reason=RejectionReason.NULL_RESULT,
            detail=f"the result of {call.name!r} {what}",
            message=index,
            call=call.id,
        )


def unpaired_result(trajectory: Trajectory) -> Iterator[Finding]:
    """A result without an earlier call, a second result, an id used by two calls, or another tool's name."""
    open_calls: dict[str, str] = {}
    answered: set[str] = set()
    for index, message in enumerate(trajectory.messages):
        for call in message.tool_calls:
            if call.id in open_calls:
                yield _unpaired(f"the id {call.id!r} is used by two calls at once", index, call.id)
            open_calls[call.id] = call.name
        if message.role != "tool":
            continue
        yield from _pairing(message, index, open_calls, answered)
        answered.add(message.tool_call_id or "")


def _pairing(message: Message, index: int, open_calls: dict[str, str], answered: set[str]) -> Iterator[Finding]:
    key = message.tool_call_id
    if key is None or key not in open_calls:
        yield _unpaired(f"a result for {key!r} has no earlier call", index, key)
    elif key in answered:
        yield _unpaired(f"the call {key!r} has two results", index, key)
    elif message.name and message.name != open_calls[key]:
        yield _unpaired(f"a call of {open_calls[key]!r} has a result of {message.name!r}", index, key)


def _unpaired(detail: str, index: int, call: str | None) -> Finding:
    return Finding(reason=RejectionReason.UNPAIRED_RESULT, detail=detail, message=index, call=call)


def is_placeholder(text: str) -> bool:
    """Whether a whole result is a placeholder, such as "[Tool execution completed]", or an unfilled template."""
    return bool(PLACEHOLDER.match(text) or LEFTOVER.match(text))


def placeholder_result(trajectory: Trajectory) -> Iterator[Finding]:
    """A result whose whole text is a placeholder."""
    for index, message in enumerate(trajectory.messages):
        text = message.content or ""
        if message.role == "tool" and text.strip() and is_placeholder(text):
            yield Finding(
                reason=RejectionReason.PLACEHOLDER_RESULT,
                detail=f"the whole result is {text.strip()[:80]!r}",
                message=index,
                call=message.tool_call_id,
            )


def retry_unanswered(trajectory: Trajectory) -> Iterator[Finding]:
    """A failed call without a later call, and an answer that does not report the failure.

    An error that the answer reports ("there is no such file") is acceptable, but not if the error requested a retry.
    """
    names = {call.id: call.name for _, call in calls(trajectory)}
    errors = [(i, m) for i, m in enumerate(trajectory.messages) if m.is_error]
    if not errors:
        return
    later = Counter(index for index, _ in calls(trajectory))
    last = trajectory.messages[-1]
    for index, message in errors:
        if any(position > index for position in later):
            continue
        retry_requested = bool(RETRY.search(message.content or ""))
        if last.role == "assistant" and not retry_requested and ADMITS.search(last.content or ""):
            continue
        name = names.get(message.tool_call_id or "", message.name or "a call that the server lost")
        yield Finding(
            reason=RejectionReason.RETRY_UNANSWERED,
            detail=f"{name!r} failed with {(message.content or '')[:80]!r} and no call followed",
            message=index,
            call=message.tool_call_id,
        )
