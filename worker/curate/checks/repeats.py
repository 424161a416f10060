"""Checks for teachers that loop, or that make more calls than a student should learn to make."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from pydantic import JsonValue

from config.errors import RejectionReason
from config.records import Finding, ToolCall, Trajectory
from worker.curate.chat import calls, results

SAME_RESULT_CALLS = 3  # different calls with the same result: no new information
LONG_ENOUGH = 40  # characters; three different patterns may all get "no matches in 214 files"
NOTHING_FOUND = re.compile(r"(?i)^\W*(?:no |nothing|0 |none\b|not found|there (?:is|are) no|empty|exit code|\(no)")


def repeated_call(trajectory: Trajectory) -> Iterator[Finding]:
    """A repeated call, adjacent or in a longer cycle (A, B, A, B), or different calls with the same result.

    A failed call may be repeated once.
    """
    found = results(trajectory)
    may_repeat: dict[str, bool] = {}
    returned: defaultdict[tuple[str, str], int] = defaultdict(int)
    for index, call in calls(trajectory):
        key = signature(call)
        result = found.get(call.id)
        failed = result is not None and result.is_error
        if key in may_repeat and not may_repeat[key]:
            yield _repeated(f"{call.name!r} was called before with the same arguments", index, call)
        may_repeat[key] = failed and key not in may_repeat
        text = (result.content or "") if result else ""
        if failed or len(text) < LONG_ENOUGH or NOTHING_FOUND.match(text):
            continue
        returned[call.name, text] += 1
        if returned[call.name, text] == SAME_RESULT_CALLS:
            yield _repeated(f"{SAME_RESULT_CALLS} calls of {call.name!r} returned the same result", index, call)


def too_many_calls(limit: int) -> Callable[[Trajectory], Iterator[Finding]]:
    """The check for more than `limit` calls in one trajectory."""

    def check(trajectory: Trajectory) -> Iterator[Finding]:
        count = len(trajectory.tool_calls)
        if count > limit:
            yield Finding(reason=RejectionReason.TOO_MANY_CALLS, detail=f"{count} calls; the limit is {limit}")

    return check


def signature(call: ToolCall) -> str:
    """Normalised name and arguments: sorted keys, "./x" and "x/" as "x", empty values left out."""
    arguments = call.arguments
    if isinstance(arguments, dict):
        normalised = {key: _normalised(value) for key, value in arguments.items()}
        arguments = {key: value for key, value in normalised.items() if value not in (None, "", ".")}
    return f"{call.name} {json.dumps(arguments, sort_keys=True, ensure_ascii=False)}"


def _normalised(value: JsonValue) -> JsonValue:
    if not isinstance(value, str):
        return value
    text = value.strip()
    return text.removeprefix("./").rstrip("/") or "." if "/" in text else text


def _repeated(detail: str, index: int, call: ToolCall) -> Finding:
    return Finding(reason=RejectionReason.REPEATED_CALL, detail=detail, message=index, call=call.id)
