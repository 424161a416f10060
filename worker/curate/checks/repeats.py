"""Checks for a teacher that goes round in circles or calls more than a student should learn to."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from pydantic import JsonValue

from config.errors import RejectionReason
from config.records import Finding, ToolCall, Trajectory
from worker.curate.chat import calls, results

SAME_RESULT_CALLS = 3  # three different calls that brought the very same text: no new information
LONG_ENOUGH = 40  # characters; "no matches in 214 files" may well come back for three different patterns
NOTHING_FOUND = re.compile(r"(?i)^\W*(?:no |nothing|0 |none\b|not found|there (?:is|are) no|empty|exit code|\(no)")


def repeated_call(trajectory: Trajectory) -> Iterator[Finding]:
    """The same call again, next to the first or in a longer circle (A, B, A, B), or calls that bring nothing new.

    A call may be made once more after it failed.
    """
    found = results(trajectory)
    seen: dict[str, bool] = {}
    brought: defaultdict[tuple[str, str], int] = defaultdict(int)
    for index, call in calls(trajectory):
        key = signature(call)
        result = found.get(call.id)
        failed = result is not None and result.is_error
        if key in seen and not seen[key]:
            yield _repeated(f"{call.name!r} was called before with the same arguments", index, call)
        seen[key] = failed and key not in seen
        text = (result.content or "") if result else ""
        if failed or len(text) < LONG_ENOUGH or NOTHING_FOUND.match(text):
            continue
        brought[call.name, text] += 1
        if brought[call.name, text] == SAME_RESULT_CALLS:
            yield _repeated(f"{SAME_RESULT_CALLS} calls of {call.name!r} brought the same result", index, call)


def too_many_calls(limit: int) -> Callable[[Trajectory], Iterator[Finding]]:
    """The check for more than `limit` calls in one trajectory."""

    def check(trajectory: Trajectory) -> Iterator[Finding]:
        made = len(trajectory.tool_calls)
        if made > limit:
            yield Finding(reason=RejectionReason.TOO_MANY_CALLS, detail=f"{made} calls, {limit} are allowed")

    return check


def signature(call: ToolCall) -> str:
    """Name and arguments in one spelling: sorted keys, "./x" and "x/" as "x", what says nothing left out."""
    arguments = call.arguments
    if isinstance(arguments, dict):
        plain = {key: _plain(value) for key, value in arguments.items()}
        arguments = {key: value for key, value in plain.items() if value not in (None, "", ".")}
    return f"{call.name} {json.dumps(arguments, sort_keys=True, ensure_ascii=False)}"


def _plain(value: JsonValue) -> JsonValue:
    if not isinstance(value, str):
        return value
    text = value.strip()
    return text.removeprefix("./").rstrip("/") or "." if "/" in text else text


def _repeated(detail: str, index: int, call: ToolCall) -> Finding:
    return Finding(reason=RejectionReason.REPEATED_CALL, detail=detail, message=index, call=call.id)
