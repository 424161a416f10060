"""One trajectory as the Job page shows it: each call beside its result, and each finding where its evidence is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from config.records import Finding, Message, ToolCall, Trajectory
from producer.flower.jobs.shown import ShownText, quoted, shown


@dataclass(frozen=True)
class ResultView:
    """A tool message."""

    index: int
    name: str
    is_error: bool
    text: ShownText | None
    """None for a null result"""
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class CallView:
    """A tool call, and the message that answers it."""

    id: str
    name: str
    arguments: ShownText
    is_object: bool
    """False if the model wrote something that is not a JSON object"""
    result: ResultView | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Turn:
    """A message of the user or the assistant, or a tool message that answers no call."""

    index: int
    role: str
    text: ShownText | None
    calls: tuple[CallView, ...]
    findings: tuple[Finding, ...]
    stray: ResultView | None = None

    @property
    def title(self) -> str:
        """Author of the message."""
        return {"user": "User", "assistant": "Assistant"}.get(self.role, "A result without a call")


def conversation(trajectory: Trajectory, findings: Sequence[Finding] = ()) -> list[Turn]:
    """The messages in order; a result stands beside the first call of its id that has none yet."""
    messages = trajectory.messages
    answers = pair(messages)
    answering = set(answers.values())
    general = [piece for finding in findings if finding.message is None for piece in quoted(finding.detail)]
    turns = []
    for index, message in enumerate(messages):
        if index in answering:
            continue
        here = [finding for finding in findings if finding.message == index]
        if message.role == "tool":
            result = _result(index, message, findings, general)
            turns.append(Turn(index, "tool", None, (), (), result))
            continue
        ids = {call.id for call in message.tool_calls}
        own = tuple(finding for finding in here if finding.call not in ids)
        calls = tuple(
            _call(
                call,
                tuple(f for f in here if f.call == call.id),
                answers.get((index, place)),
                messages,
                findings,
                general,
            )
            for place, call in enumerate(message.tool_calls)
        )
        said = message.content or ""
        text = shown(said, [*general, *_pieces(own)]) if said.strip() else None
        turns.append(Turn(index, message.role, text, calls, own))
    return turns


def pair(messages: Sequence[Message]) -> dict[tuple[int, int], int]:
    """(index of an assistant's message, number of its call) -> index of the tool message that answers it."""
    waiting: dict[str, list[tuple[int, int]]] = {}
    found: dict[tuple[int, int], int] = {}
    for index, message in enumerate(messages):
        for place, call in enumerate(message.tool_calls):
            waiting.setdefault(call.id, []).append((index, place))
        if message.role == "tool" and waiting.get(message.tool_call_id or ""):
            found[waiting[message.tool_call_id or ""].pop(0)] = index
    return found


def _call(
    call: ToolCall,
    findings: tuple[Finding, ...],
    answer: int | None,
    messages: Sequence[Message],
    all_findings: Sequence[Finding],
    general: list[str],
) -> CallView:
    is_object = not isinstance(call.arguments, str)
    text = json.dumps(call.arguments, indent=2, ensure_ascii=False) if is_object else str(call.arguments)
    result = None if answer is None else _result(answer, messages[answer], all_findings, general)
    return CallView(call.id, call.name, shown(text, [*general, *_pieces(findings)]), is_object, result, findings)


def _result(index: int, message: Message, findings: Sequence[Finding], general: list[str]) -> ResultView:
    here = tuple(finding for finding in findings if finding.message == index)
    text = None if message.content is None else shown(message.content, [*general, *_pieces(here)])
    return ResultView(index, message.name or "", message.is_error, text, here)


def _pieces(findings: Sequence[Finding]) -> list[str]:
    return [piece for finding in findings for piece in quoted(finding.detail)]
