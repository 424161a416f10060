"""Detects loops in a rollout."""

import json
from collections import Counter
from collections.abc import Sequence

from config.errors import FailureKind
from config.records import JsonObject, ToolCall
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout

SAME_CALL = 3  # times a call is made that count as a loop; twice may be a second look
PERIODS = (2, 3)  # calls in a cycle that is made twice in a row


def loop(rollout: Rollout) -> AnswerFinding | None:
    """A rollout that goes round, by kind:

    - same_call: the same call, by name and arguments in any order, made SAME_CALL times or more;
    - cycle: two or three different calls made twice in a row (A B A B, A B C A B C);
    - limit: it reached its limit of requests, calls or repeats.
    """
    keys = [_call_key(call) for call in rollout.trajectory.tool_calls]
    most_frequent = Counter(keys).most_common(1)
    if most_frequent and most_frequent[0][1] >= SAME_CALL:
        return _loop("same_call", f"same call: {most_frequent[0][0]} was called {most_frequent[0][1]} times")
    if (place := _cycle(keys)) is not None:
        return _loop("cycle", f"cycle: it starts at call {place + 1}: {keys[place]}")
    failure = rollout.trajectory.failure
    if failure is not None and failure.kind is FailureKind.REQUEST_LIMIT:
        return _loop("limit", f"limit: {failure.message}")
    return None


def _call_key(call: ToolCall) -> str:
    """A key that is equal for calls with the same name and arguments, whatever their order and white space."""
    return f"{call.name} {json.dumps(_folded(call.arguments), sort_keys=True, ensure_ascii=False)}"


def _folded(arguments: JsonObject | str) -> JsonObject | str:
    """The arguments with single spaces in their texts."""
    if isinstance(arguments, str):
        return " ".join(arguments.split())
    return {key: " ".join(value.split()) if isinstance(value, str) else value for key, value in arguments.items()}


def _loop(kind: str, detail: str) -> AnswerFinding:
    return AnswerFinding(AnswerFault.LOOP, detail, kind)


def _cycle(keys: Sequence[str]) -> int | None:
    for period in PERIODS:
        for start in range(len(keys) - 2 * period + 1):
            once = keys[start : start + period]
            if len(set(once)) == period and list(keys[start + period : start + 2 * period]) == list(once):
                return start
    return None
