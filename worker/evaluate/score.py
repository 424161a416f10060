"""Scores recorded answers: the findings of each trajectory, and the rates over all. Pure; needs no model."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from config.records import Trajectory
from config.report.metrics import Fraction, Metrics, Spread
from worker.evaluate.findings.answers import graded, is_claim_judged
from worker.evaluate.findings.detectors import findings_of
from worker.evaluate.findings.ending import missing_answer
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout

__all__ = ["AnswerFault", "AnswerFinding", "AnswerScore", "metrics", "observe", "score", "spread"]


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


def score(trajectories: Iterable[Trajectory]) -> Metrics:
    """The rates over trajectories that record whether their prompts need tools."""
    return metrics([observe(trajectory, needs_tools=trajectory.requires_tools) for trajectory in trajectories])


def metrics(scores: Sequence[AnswerScore]) -> Metrics:
    """The rates over all scores; null where nothing could be counted.

    loop_rate                     of all prompts: loop() in loops.py
    final_answer_rate             of all prompts: completed, with a final text that is not a call and was not cut off
    invented_turn_rate            of prompts with any assistant text: the assistant writes another role's turn
    invented_result_rate          of the same: the assistant writes a result that no tool returned
    call_in_text_rate             of the same: the assistant writes a call as text, so that it is not run
    unsupported_claim_rate        of final answers to prompts that need tools, after at least one tool result, empty and
                                  failed ones included: asserts what no result holds (worker/curate/checks/support)
    tool_when_needed_rate         of prompts that need tools: at least one call was made
    real_result_when_needed_rate  of the same: at least one call got a real result
    no_tool_when_not_needed_rate  of prompts that need no tools: no call was made
    correct_rate                  of prompts with `expect` whose answer can be graded: a final answer with its facts
    grounded_correct_rate         of those that also need tools: the same, with at least one real result
    calls_well_formed_rate        of all calls: the arguments are an object
    calls_with_real_result_rate   of all calls: a tool message of the same id with text that is not an error
    tool_calls_per_prompt, seconds_per_prompt: over all prompts, seconds if they were measured
    """
    needing = [answer for answer in scores if answer.needs_tools]
    needless = [answer for answer in scores if answer.needs_tools is False]
    facts = [answer for answer in scores if answer.correct is not None]
    of = {
        "loop_rate": _share(scores, lambda answer: answer.loop),
        "final_answer_rate": _share(scores, lambda answer: answer.final_answer),
        "invented_turn_rate": _share(_with_text(scores), lambda answer: answer.invented_turn is True),
        "invented_result_rate": _share(_with_text(scores), lambda answer: answer.invented_result is True),
        "call_in_text_rate": _share(_with_text(scores), lambda answer: answer.call_in_text is True),
        "unsupported_claim_rate": _share(
            [answer for answer in scores if answer.unsupported_claim is not None],
            lambda answer: answer.unsupported_claim is True,
        ),
        "tool_when_needed_rate": _share(needing, lambda answer: answer.calls > 0),
        "real_result_when_needed_rate": _share(needing, lambda answer: answer.real_results > 0),
        "no_tool_when_not_needed_rate": _share(needless, lambda answer: answer.calls == 0),
        "correct_rate": _share(facts, lambda answer: answer.correct is True),
        "grounded_correct_rate": _share(
            [answer for answer in facts if answer.needs_tools],
            lambda answer: answer.correct is True and answer.real_results > 0,
        ),
        "calls_well_formed_rate": Fraction(
            count=sum(answer.well_formed for answer in scores), of=sum(answer.calls for answer in scores)
        ),
        "calls_with_real_result_rate": Fraction(
            count=sum(answer.real_results for answer in scores), of=sum(answer.calls for answer in scores)
        ),
    }
    return Metrics(
        prompts=len(scores),
        tool_calls_per_prompt=spread([float(answer.calls) for answer in scores]),
        seconds_per_prompt=spread([answer.seconds for answer in scores if answer.seconds > 0]),
        loop_rate_interval=of["loop_rate"].interval,
        of=of,
        failures=dict(sorted(Counter(answer.failure for answer in scores if answer.failure).items())),
        **{name: fraction.share for name, fraction in of.items()},
    )


def spread(values: Sequence[float]) -> Spread | None:
    """Median and p90 by nearest rank; None without values."""
    if not values:
        return None
    rank = math.ceil(0.9 * len(values))
    return Spread(median=statistics.median(values), p90=sorted(values)[rank - 1])


def _share(scores: Sequence[AnswerScore], counts: Callable[[AnswerScore], bool]) -> Fraction:
    return Fraction(count=sum(map(counts, scores)), of=len(scores))


def _with_text(scores: Sequence[AnswerScore]) -> list[AnswerScore]:
    return [score for score in scores if score.invented_turn is not None]
