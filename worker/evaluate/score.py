"""Scores a recorded answer: the findings of a trajectory. Pure; needs no model."""

from dataclasses import dataclass

from config.records import Trajectory
from worker.evaluate.findings.answers import graded, is_claim_judged
from worker.evaluate.findings.detectors import findings_of
from worker.evaluate.findings.ending import missing_answer
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout

__all__ = ["AnswerFault", "AnswerFinding", "AnswerScore", "observe"]


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
    cut: bool = False
    """max_tokens, or the end of the text, cut the answer or a call"""
    runaway: bool = False
    repetition: bool = False
    empty: bool = False


def observe(trajectory: Trajectory, *, needs_tools: bool | None, single: bool = False) -> AnswerScore:
    """Score one trajectory.

    `needs_tools` is None if it is unknown whether its prompt needs tools. `single` marks a recorded text without a
    conversation: a call is an answer then, because nobody ran it. Raises UsageError if its `expect` is invalid.
    """
    rollout = Rollout(trajectory, needs_tools, single)
    found = findings_of(rollout)
    faults = {finding.fault for finding in found}
    calls, spoken, grade = trajectory.tool_calls, bool(rollout.texts), graded(rollout)
    return AnswerScore(
        calls=len(calls),
        well_formed=sum(isinstance(call.arguments, dict) for call in calls),
        real_results=sum(call.id in rollout.real_results for call in calls),
        seconds=trajectory.seconds,
        final_answer=missing_answer(rollout) is None,
        loop=AnswerFault.LOOP in faults,
        needs_tools=needs_tools,
        invented_turn=AnswerFault.INVENTED_TURN in faults if spoken else None,
        invented_result=AnswerFault.INVENTED_RESULT in faults if spoken else None,
        call_in_text=AnswerFault.CALL_IN_TEXT in faults if spoken else None,
        unsupported_claim=AnswerFault.UNSUPPORTED_CLAIM in faults if is_claim_judged(rollout) else None,
        correct=grade.correct if grade else None,
        failure=trajectory.failure.kind.value if trajectory.failure else None,
        found=found,
        cut=bool(faults & {AnswerFault.CUT_ANSWER, AnswerFault.CUT_CALL}) or trajectory.truncated,
        runaway=AnswerFault.RUNAWAY in faults,
        repetition=AnswerFault.REPETITION in faults,
        empty=AnswerFault.EMPTY_ANSWER in faults,
    )
