"""Executes recorded tool calls again on the code that a trajectory is pinned to, and compares the results.

Covered: only code that is on this machine is read, nothing is cloned or fetched; calls run in the tools' sandbox, so a
recorded path leads no further than a generated one; a search ends at the tools' time limit; `run_command` never runs.
Not covered: tools whose behaviour changed and whose schemas did not. The finding then names both versions of applejack.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from config.errors import RejectionReason, UsageError, WorkspaceError, WorkspaceRefusedError
from config.owner_policy import Policy
from config.records import TOOL_NAMES, Finding, JsonObject, Message, Pin, ToolCall, Trajectory
from config.version import version
from worker.curate.replay.difference import Difference, Result, excerpts
from worker.curate.replay.pinned_code import PinnedCode
from worker.secrets import mask
from worker.tools import toolset
from worker.tools.tools import is_unfinished
from worker.tools.workspace import EVERYTHING, reopen


class NotReplayed(StrEnum):
    """Why recorded calls of a trajectory were not executed again."""

    NO_PROVENANCE = "no_provenance"  # its code is not recorded
    UNPINNED = "unpinned"  # its code is recorded without a commit or digest
    UNREACHABLE = "unreachable"  # its code is not on this machine
    REFUSED = "refused"  # the owner of this worker does not let runs read its folder
    CHANGED = "changed"  # the directory's content has changed since
    OTHER_TOOLS = "other_tools"  # it was recorded with other tools than those of this version
    RUN_COMMAND = "run_command"  # commands are never executed again
    INVALID_CALL = "invalid_call"  # no tool ran: an unknown name, or arguments that are not an object
    NO_RESULT = "no_result"  # there is nothing to compare with
    TIME_LIMIT = "time_limit"  # a search reached its time limit, and another run may find more


@dataclass
class Replay:
    """Replays trajectories and counts. Each pin is opened once, and equal calls are executed once."""

    cache: Path
    """directory of the checkouts, as for generation"""
    policy: Policy = EVERYTHING
    """what the owner of this worker lets runs read"""
    matched: int = 0
    """calls with the recorded result"""
    differing: int = 0
    """calls with another result"""
    not_replayed: Counter[NotReplayed] = field(default_factory=Counter)
    """trajectories with calls that were not replayed, by cause"""
    _code: dict[Pin, PinnedCode | NotReplayed] = field(default_factory=dict)

    def check(self, trajectory: Trajectory) -> Iterator[Finding]:
        """A finding for each call whose recorded result differs."""
        for difference in self.differences(trajectory):
            yield Finding(
                reason=RejectionReason.REPLAY_MISMATCH,
                detail=difference.detail,
                message=difference.message,
                call=difference.call.id,
            )

    def differences(self, trajectory: Trajectory) -> list[Difference]:
        """The calls whose recorded result differs, in order. Updates the counts."""
        found: list[Difference] = []
        causes: set[NotReplayed] = set()
        code = self._open(trajectory) if trajectory.tool_calls else NotReplayed.NO_RESULT
        for index, call, message in _recorded(trajectory):
            outcome = code if isinstance(code, NotReplayed) else _compare(code, trajectory, call, message)
            if isinstance(outcome, NotReplayed):
                causes.add(outcome)
            elif outcome is None:
                self.matched += 1
            else:
                self.differing += 1
                found.append(Difference(trajectory.job_id, index, call, *outcome, note=_note(trajectory)))
        self.not_replayed.update(causes)
        return found

    def counts(self) -> JsonObject:
        """{calls, matched, differing: calls; not_replayed: {cause: trajectories}}."""
        causes: JsonObject = {
            cause.value: self.not_replayed[cause] for cause in NotReplayed if self.not_replayed[cause]
        }
        calls = self.matched + self.differing
        return {"calls": calls, "matched": self.matched, "differing": self.differing, "not_replayed": causes}

    def _open(self, trajectory: Trajectory) -> PinnedCode | NotReplayed:
        provenance = trajectory.provenance
        if provenance is None or provenance.workspace is None:
            return NotReplayed.NO_PROVENANCE
        pin = provenance.workspace
        if pin.commit is None and pin.digest is None:
            return NotReplayed.UNPINNED
        if not provenance.toolset_digest == toolset.digest(trajectory.tools) == _digest_today(_offered(trajectory)):
            return NotReplayed.OTHER_TOOLS
        if pin not in self._code:
            self._code[pin] = _opened(pin, self.cache, self.policy)
        return self._code[pin]


def _opened(pin: Pin, cache: Path, policy: Policy) -> PinnedCode | NotReplayed:
    try:
        workspace = reopen(pin, cache=cache, policy=policy)
        if pin.commit is None and workspace.pin.digest != pin.digest:
            return NotReplayed.CHANGED
        return PinnedCode(workspace)
    except WorkspaceRefusedError:
        return NotReplayed.REFUSED
    except (WorkspaceError, OSError, ValueError, RuntimeError):  # RuntimeError: "~name" of nobody; ValueError: a NUL
        return NotReplayed.UNREACHABLE


def _compare(
    code: PinnedCode, trajectory: Trajectory, call: ToolCall, message: Message | None
) -> tuple[str, str] | NotReplayed | None:
    """Both results around the first difference; None if they are equal."""
    if call.name == toolset.RUN_COMMAND:
        return NotReplayed.RUN_COMMAND
    if call.name not in TOOL_NAMES or call.name not in _offered(trajectory) or isinstance(call.arguments, str):
        return NotReplayed.INVALID_CALL
    if message is None or message.content is None:
        return NotReplayed.NO_RESULT
    recorded = Result(_error_text(message.content) if message.is_error else message.content, message.is_error)
    try:
        replayed = code.run(call.name, json.dumps(call.arguments))
        if recorded != replayed:  # the run may have allowed what tools leave out or mask by default
            allowed = code.run(call.name, json.dumps(call.arguments), with_secrets=True)
            known = (allowed, replace(allowed, text=mask(allowed.text))) if allowed else ()
            replayed = recorded if recorded in known else replayed
    except WorkspaceError:
        return NotReplayed.CHANGED
    if recorded == replayed:
        return None
    if replayed is None or is_unfinished(recorded.text):
        return NotReplayed.TIME_LIMIT
    return excerpts(recorded, replayed)


def _recorded(trajectory: Trajectory) -> Iterator[tuple[int, ToolCall, Message | None]]:
    """Every call with its result and the index of that, or of the call. An id may be used again after its result."""
    waiting: dict[str, tuple[int, ToolCall]] = {}
    for index, message in enumerate(trajectory.messages):
        for call in message.tool_calls:
            if call.id in waiting:
                yield (*waiting[call.id], None)
            waiting[call.id] = (index, call)
        if message.role == "tool" and message.tool_call_id in waiting:
            _, call = waiting.pop(message.tool_call_id)
            yield index, call, message
    for index, call in waiting.values():
        yield index, call, None


def _offered(trajectory: Trajectory) -> tuple[str, ...]:
    functions = (tool.get("function") for tool in trajectory.tools)
    return tuple(str(function.get("name")) for function in functions if isinstance(function, dict))


@cache
def _digest_today(names: tuple[str, ...]) -> str | None:
    """The digest of this version's tools with these names; None if one of them does not exist."""
    try:
        toolset.offered(names, ())
    except UsageError:
        return None
    return toolset.digest(toolset.schemas(names))


def _error_text(content: str) -> str:
    """The text of an error: the agent records it as {"error": TEXT}."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return content
    text = body.get("error") if isinstance(body, dict) and len(body) == 1 else None
    return text if isinstance(text, str) else content


def _note(trajectory: Trajectory) -> str:
    provenance = trajectory.provenance
    assert provenance is not None
    assert provenance.workspace is not None
    pin, then = provenance.workspace, provenance.applejack_version
    at = f"at commit {pin.commit[:12]}" if pin.commit else "in the unchanged directory"
    return at if then == version() else f"{at} (recorded by applejack {then}, this is {version()})"
