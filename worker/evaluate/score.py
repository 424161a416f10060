"""Scores of recorded answers: what each trajectory shows, and the rates over all. Pure; needs no model."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.questions.expected_facts import holds
from config.records import Message, ToolCall, Trajectory
from config.report.metrics import Fraction, Metrics, Spread
from worker.curate.checks.call_detection import call_text
from worker.evaluate.call_parsing import parse_answer
from worker.evaluate.invented import invented_result, invented_turn, texts
from worker.evaluate.loops import loop

NO_NAMES: frozenset[str] = frozenset()  # "I'll use the grep tool." only announces a call, in the seed's notation


class AnswerFault(StrEnum):
    """What can be held against one answer."""

    LOOP = "loop"  # the same calls again and again, or ended by a limit
    NO_FINAL_ANSWER = "no_final_answer"  # it failed, said nothing at the end, or was cut at max_tokens
    INVENTED_TURN = "invented_turn"  # the assistant speaks for another role
    INVENTED_RESULT = "invented_result"  # the assistant writes a tool's result itself
    NO_TOOL_WHEN_NEEDED = "no_tool_when_needed"
    TOOL_WHEN_NOT_NEEDED = "tool_when_not_needed"
    MALFORMED_CALL = "malformed_call"  # arguments that are no object
    CALL_IN_TEXT = "call_in_text"  # a call written as words, in a notation that the server does not read
    NO_REAL_RESULT = "no_real_result"  # a call that got an error, nothing, or no result at all
    WRONG_ANSWER = "wrong_answer"  # a final answer without the expected facts


@dataclass(frozen=True)
class AnswerFinding:
    """A fault with its evidence."""

    fault: AnswerFault
    detail: str


@dataclass(frozen=True)
class AnswerScore:
    """What one trajectory shows. A question that does not arise is None: no `expect`, or nothing said in words."""

    calls: int
    well_formed: int
    """calls whose arguments are an object"""
    real_results: int
    """calls answered by a result of their own id that is text and no error"""
    seconds: float
    """0 when it was not measured"""
    final_answer: bool
    loop: bool
    needs_tools: bool | None
    invented_turn: bool | None
    invented_result: bool | None
    call_in_text: bool | None
    correct: bool | None
    failure: str | None
    found: tuple[AnswerFinding, ...]


def observe(trajectory: Trajectory, *, needs_tools: bool | None) -> AnswerScore:
    """Look at one trajectory; `needs_tools` None means that nobody knows whether its prompt does."""
    calls = trajectory.tool_calls
    said = texts(trajectory.messages)
    results = [m.content for m in trajectory.messages if m.role == "tool" and m.content]
    turn = next(filter(None, map(invented_turn, said)), None)
    result = next(filter(None, (invented_result(text, results) for text in said)), None)
    written = next((piece for text in said if (piece := call_text(text, NO_NAMES))), None)
    circle = loop(trajectory)
    missing = _missing_answer(trajectory)
    right = None if trajectory.expect is None else missing is None and holds(trajectory.expect, trajectory.answer)
    malformed = [call for call in calls if not isinstance(call.arguments, dict)]
    real = _real_results(trajectory)
    unreal = [call for call in calls if call.id not in real]
    evidence: list[tuple[AnswerFault, str | None]] = [
        (AnswerFault.LOOP, circle),
        (AnswerFault.NO_FINAL_ANSWER, missing),
        (AnswerFault.INVENTED_TURN, turn),
        (AnswerFault.INVENTED_RESULT, result),
        (AnswerFault.NO_TOOL_WHEN_NEEDED, "no call was made" if needs_tools and not calls else None),
        (AnswerFault.TOOL_WHEN_NOT_NEEDED, _names(calls) if needs_tools is False and calls else None),
        (AnswerFault.MALFORMED_CALL, str(malformed[0].arguments) if malformed else None),
        (AnswerFault.CALL_IN_TEXT, written),
        (AnswerFault.NO_REAL_RESULT, _names(unreal) if unreal else None),
        (AnswerFault.WRONG_ANSWER, trajectory.answer if right is False and missing is None else None),
    ]
    return AnswerScore(
        calls=len(calls),
        well_formed=len(calls) - len(malformed),
        real_results=len(calls) - len(unreal),
        seconds=trajectory.seconds,
        final_answer=missing is None,
        loop=circle is not None,
        needs_tools=needs_tools,
        invented_turn=turn is not None if said else None,
        invented_result=result is not None if said else None,
        call_in_text=written is not None if said else None,
        correct=right,
        failure=trajectory.failure.kind.value if trajectory.failure else None,
        found=tuple(AnswerFinding(fault, detail) for fault, detail in evidence if detail is not None),
    )


def score(trajectories: Iterable[Trajectory]) -> Metrics:
    """The rates over trajectories whose prompts say whether they need tools."""
    return metrics([observe(one, needs_tools=one.requires_tools) for one in trajectories])


def metrics(seen: Sequence[AnswerScore]) -> Metrics:
    """The rates over what was observed; null where nothing could be counted.

    loop_rate                     of all prompts: loop() in loops.py
    final_answer_rate             of all prompts: completed, and at the end words that are no call and were not cut
    invented_turn_rate            of prompts with any assistant words: the assistant speaks for another role
    invented_result_rate          of the same: the assistant writes a tool's result that no tool returned
    call_in_text_rate             of the same: the assistant writes a call as words, so that nobody runs it
    tool_when_needed_rate         of prompts that need tools: at least one call was made
    real_result_when_needed_rate  of the same: at least one call got a real result
    no_tool_when_not_needed_rate  of prompts that need none: no call was made
    correct_rate                  of prompts with `expect`: a final answer that holds its facts
    grounded_correct_rate         of those that also need tools: the same, with at least one real result behind it
    calls_well_formed_rate        of all calls: the arguments are an object
    calls_with_real_result_rate   of all calls: a tool message of the same id with text that is no error
    tool_calls_per_prompt, seconds_per_prompt: over all prompts, seconds where they were measured
    """
    needing = [one for one in seen if one.needs_tools]
    needless = [one for one in seen if one.needs_tools is False]
    facts = [one for one in seen if one.correct is not None]
    of = {
        "loop_rate": _share(seen, lambda one: one.loop),
        "final_answer_rate": _share(seen, lambda one: one.final_answer),
        "invented_turn_rate": _share(_asked(seen), lambda one: one.invented_turn is True),
        "invented_result_rate": _share(_asked(seen), lambda one: one.invented_result is True),
        "call_in_text_rate": _share(_asked(seen), lambda one: one.call_in_text is True),
        "tool_when_needed_rate": _share(needing, lambda one: one.calls > 0),
        "real_result_when_needed_rate": _share(needing, lambda one: one.real_results > 0),
        "no_tool_when_not_needed_rate": _share(needless, lambda one: one.calls == 0),
        "correct_rate": _share(facts, lambda one: one.correct is True),
        "grounded_correct_rate": _share(
            [one for one in facts if one.needs_tools], lambda one: one.correct is True and one.real_results > 0
        ),
        "calls_well_formed_rate": Fraction(count=sum(o.well_formed for o in seen), of=sum(o.calls for o in seen)),
        "calls_with_real_result_rate": Fraction(count=sum(o.real_results for o in seen), of=sum(o.calls for o in seen)),
    }
    return Metrics(
        prompts=len(seen),
        tool_calls_per_prompt=spread([float(one.calls) for one in seen]),
        seconds_per_prompt=spread([one.seconds for one in seen if one.seconds > 0]),
        loop_rate_interval=of["loop_rate"].interval,
        of=of,
        failures=dict(sorted(Counter(one.failure for one in seen if one.failure).items())),
        **{name: fraction.share for name, fraction in of.items()},
    )


def spread(values: Sequence[float]) -> Spread | None:
    """Median and p90 by nearest rank; None of nothing."""
    if not values:
        return None
    rank = math.ceil(0.9 * len(values))
    return Spread(median=statistics.median(values), p90=sorted(values)[rank - 1])


def _share(seen: Sequence[AnswerScore], counts: Callable[[AnswerScore], bool]) -> Fraction:
    return Fraction(count=sum(map(counts, seen)), of=len(seen))


def _asked(seen: Sequence[AnswerScore]) -> list[AnswerScore]:
    return [one for one in seen if one.invented_turn is not None]


def _missing_answer(trajectory: Trajectory) -> str | None:
    """Why there is no final answer."""
    if trajectory.outcome == "failed":
        failure = trajectory.failure
        return f"{failure.kind.value}: {failure.message}" if failure else "it failed"
    if not trajectory.answer.strip() or trajectory.messages[-1].tool_calls:
        return "nothing was said at the end"
    spoken = parse_answer(trajectory.answer, row="")
    if call_text(trajectory.answer, NO_NAMES) and not (spoken.calls and spoken.after):
        return "a call written as words stands at the end"
    if trajectory.finish_reasons[-1:] == ("length",):
        return "cut at max_tokens"
    return None


def _real_results(trajectory: Trajectory) -> set[str]:
    return {message.tool_call_id for message in trajectory.messages if message.tool_call_id and _is_real(message)}


def _is_real(message: Message) -> bool:
    return message.role == "tool" and not message.is_error and bool(message.content and message.content.strip())


def _names(calls: Sequence[ToolCall]) -> str:
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in Counter(call.name for call in calls).items())
