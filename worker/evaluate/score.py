"""Scores a recorded answer: the faults of a trajectory. Pure; needs no model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.questions.expected_facts import Grade, grade
from config.records import Message, ToolCall, Trajectory
from worker.curate.checks.call_detection import call_text
from worker.curate.checks.repetition import repetition
from worker.curate.checks.support.verdict import is_judged, unsupported
from worker.evaluate.call_parsing import parse_answer
from worker.evaluate.invented import invented_result, invented_turn, texts
from worker.evaluate.loops import loop

NO_NAMES: frozenset[str] = (
    frozenset()
)  # no detection of "I'll use the grep tool.", with which the seed notation announces a call


class AnswerFault(StrEnum):
    """A fault of one answer."""

    LOOP = "loop"  # repeated calls, or a limit reached
    NO_FINAL_ANSWER = "no_final_answer"  # failed, empty at the end, or cut at max_tokens
    INVENTED_TURN = "invented_turn"  # the assistant writes another role's turn
    INVENTED_RESULT = "invented_result"  # the assistant writes a tool result itself
    UNSUPPORTED_CLAIM = "unsupported_claim"  # the final answer asserts something that no result holds
    NO_TOOL_WHEN_NEEDED = "no_tool_when_needed"
    TOOL_WHEN_NOT_NEEDED = "tool_when_not_needed"
    MALFORMED_CALL = "malformed_call"  # arguments that are not an object
    CALL_IN_TEXT = "call_in_text"  # a call as text, in a notation that the server does not parse
    REPETITION = "repetition"  # the same sentence, list item or words again and again
    NO_REAL_RESULT = "no_real_result"  # a call with an error, an empty result or no result
    WRONG_ANSWER = "wrong_answer"  # a final answer without the expected facts, or after a call that was not needed


@dataclass(frozen=True)
class AnswerFinding:
    """A fault with its evidence."""

    fault: AnswerFault
    detail: str


@dataclass(frozen=True)
class AnswerScore:
    """The score of one trajectory. None means not applicable: nothing to compare with, or no assistant text."""

    calls: int
    well_formed: int
    """calls whose arguments are an object"""
    real_results: int
    """calls with a result of the same id that is text and not an error"""
    seconds: float
    """0 if not measured"""
    final_answer: bool
    cut: bool
    """max_tokens ended the last turn"""
    loop: bool
    needs_tools: bool | None
    invented_turn: bool | None
    invented_result: bool | None
    call_in_text: bool | None
    unsupported_claim: bool | None
    """None without a final answer, without any tool result, or if the question needs no tools"""
    correct: bool | None
    failure: str | None
    found: tuple[AnswerFinding, ...]


def observe(trajectory: Trajectory, *, needs_tools: bool | None) -> AnswerScore:
    """Score one trajectory. `needs_tools` is None if it is unknown whether its prompt needs tools."""
    calls = trajectory.tool_calls
    spoken = texts(trajectory.messages)
    results = [m.content for m in trajectory.messages if m.role == "tool" and m.content]
    turn = next(filter(None, map(invented_turn, spoken)), None)
    result = next(filter(None, (invented_result(text, results) for text in spoken)), None)
    written = next((piece for text in spoken if (piece := call_text(text, NO_NAMES))), None)
    loop_reason = loop(trajectory)
    missing = _missing_answer(trajectory)
    judged = missing is None and is_judged(trajectory)
    claim = next(unsupported(trajectory), None) if judged else None
    graded = _graded(trajectory, answered=missing is None)
    correct = graded.correct if graded else None
    malformed = [call for call in calls if not isinstance(call.arguments, dict)]
    real = _real_results(trajectory)
    unreal = [call for call in calls if call.id not in real]
    evidence: list[tuple[AnswerFault, str | None]] = [
        (AnswerFault.LOOP, loop_reason),
        (AnswerFault.NO_FINAL_ANSWER, missing),
        (AnswerFault.INVENTED_TURN, turn),
        (AnswerFault.INVENTED_RESULT, result),
        (AnswerFault.UNSUPPORTED_CLAIM, claim),
        (AnswerFault.NO_TOOL_WHEN_NEEDED, "no call was made" if needs_tools and not calls else None),
        (AnswerFault.TOOL_WHEN_NOT_NEEDED, _names(calls) if needs_tools is False and calls else None),
        (AnswerFault.MALFORMED_CALL, str(malformed[0].arguments) if malformed else None),
        (AnswerFault.CALL_IN_TEXT, written),
        (AnswerFault.REPETITION, next(filter(None, map(repetition, spoken)), None)),
        (AnswerFault.NO_REAL_RESULT, _names(unreal) if unreal else None),
        (AnswerFault.WRONG_ANSWER, _wrong(trajectory, graded) if missing is None else None),
    ]
    return AnswerScore(
        calls=len(calls),
        well_formed=len(calls) - len(malformed),
        real_results=len(calls) - len(unreal),
        seconds=trajectory.seconds,
        final_answer=missing is None,
        cut=trajectory.truncated,
        loop=loop_reason is not None,
        needs_tools=needs_tools,
        invented_turn=turn is not None if spoken else None,
        invented_result=result is not None if spoken else None,
        call_in_text=written is not None if spoken else None,
        unsupported_claim=claim is not None if judged else None,
        correct=correct,
        failure=trajectory.failure.kind.value if trajectory.failure else None,
        found=tuple(AnswerFinding(fault, detail) for fault, detail in evidence if detail is not None),
    )


def _graded(trajectory: Trajectory, *, answered: bool) -> Grade | None:
    """The grade of the answer; a missing one is wrong, one cut at max_tokens is graded as far as it goes.

    A cut answer is not final, but it can have stated the facts: wrong for a limit would flatter the more concise model.
    None without `expect`.
    """
    if trajectory.expect is None:
        return None
    calls = len(trajectory.tool_calls)
    found = grade(trajectory.expect, trajectory.answer, question=trajectory.prompt, calls=calls)
    if answered or _is_cut_answer(trajectory):
        return found
    return Grade(correct=None if set(trajectory.expect) == {"no_call"} else False)


def _is_cut_answer(trajectory: Trajectory) -> bool:
    """Whether max_tokens ended a text that is an answer and not a call."""
    if not trajectory.truncated or trajectory.messages[-1].tool_calls:
        return False
    return bool(trajectory.answer.strip()) and not call_text(trajectory.answer, NO_NAMES)


def _wrong(trajectory: Trajectory, graded: Grade | None) -> str | None:
    return f"{trajectory.answer} ({'; '.join(graded.faults)})" if graded and graded.faults else None


def _missing_answer(trajectory: Trajectory) -> str | None:
    """Why there is no final answer."""
    if trajectory.outcome == "failed":
        failure = trajectory.failure
        return f"{failure.kind.value}: {failure.message}" if failure else "it failed"
    if trajectory.truncated:
        return "cut at max_tokens"
    if not trajectory.answer.strip() or trajectory.messages[-1].tool_calls:
        return "no text at the end"
    parsed = parse_answer(trajectory.answer, row="")
    if call_text(trajectory.answer, NO_NAMES) and not (parsed.calls and parsed.after):
        return "the final text is a tool call"
    return None


def _real_results(trajectory: Trajectory) -> set[str]:
    return {message.tool_call_id for message in trajectory.messages if message.tool_call_id and _is_real(message)}


def _is_real(message: Message) -> bool:
    return message.role == "tool" and not message.is_error and bool(message.content and message.content.strip())


def _names(calls: Sequence[ToolCall]) -> str:
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in Counter(call.name for call in calls).items())
