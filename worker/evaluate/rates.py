"""The rates of one model over its scored answers."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from config.records import Trajectory
from config.report.metrics import CategoryScore, Metrics, Rate, Spread
from worker.evaluate.query_time import query_time
from worker.evaluate.score import AnswerScore, observe


def score(trajectories: Iterable[Trajectory]) -> Metrics:
    """The rates over trajectories that record whether their prompts need tools."""
    kept = list(trajectories)
    scores = [observe(trajectory, needs_tools=trajectory.requires_tools) for trajectory in kept]
    rates = metrics(scores, categories=[trajectory.category for trajectory in kept])
    return rates.model_copy(update={"query_time": query_time(kept)})


def metrics(scores: Sequence[AnswerScore], *, categories: Sequence[str] = ()) -> Metrics:
    """The rates over all scores; null where nothing could be counted. `categories` has one entry per score, or none.

    loop                     of all prompts: loop() in loops.py
    final_answer             of all prompts: completed, with a final text that is not a call and was not cut off
    cut                      of all prompts: max_tokens ended the last turn
    runaway, repetition      of all prompts: the findings of these names
    invented_turn            of prompts with any assistant text: the assistant writes another role's turn
    invented_result          of the same: the assistant writes a result that no tool returned
    call_in_text             of the same: the assistant writes a call as text, so that it is not run
    unsupported_claim        of final answers to prompts that need tools, after at least one tool result, empty and
                             failed ones included: asserts what no result holds (worker/curate/checks/support)
    tool_when_needed         of prompts that need tools: at least one call was made
    real_result_when_needed  of the same: at least one call got a real result
    no_tool_when_not_needed  of prompts that need no tools: no call was made
    correct                  of prompts with `expect` whose answer can be graded: a final answer with its facts
    grounded_correct         of those that also need tools: the same, with at least one real result
    calls_well_formed        of all calls: the arguments are an object
    calls_with_real_result   of all calls: a tool message of the same id with text that is not an error
    tool_calls_per_prompt    over prompts that need tools; over all, where that is not recorded
    seconds_per_prompt       over all prompts, if they were measured
    """
    needing = [answer for answer in scores if answer.needs_tools]
    needless = [answer for answer in scores if answer.needs_tools is False]
    facts = [answer for answer in scores if answer.correct is not None]
    calls = sum(answer.calls for answer in scores)
    spoken = [answer for answer in scores if answer.invented_turn is not None]
    judged = [answer for answer in scores if answer.unsupported_claim is not None]
    counted = needing or [answer for answer in scores if answer.needs_tools is None]
    return Metrics(
        prompts=len(scores),
        prompts_with_tools=len(needing),
        tool_calls_per_prompt=spread([float(answer.calls) for answer in counted]),
        seconds_per_prompt=spread([answer.seconds for answer in scores if answer.seconds > 0]),
        final_answer=_rate(scores, lambda answer: answer.final_answer),
        cut=_rate(scores, lambda answer: answer.cut),
        loop=_rate(scores, lambda answer: answer.loop),
        runaway=_rate(scores, lambda answer: answer.runaway),
        repetition=_rate(scores, lambda answer: answer.repetition),
        invented_turn=_rate(spoken, lambda answer: answer.invented_turn is True),
        invented_result=_rate(spoken, lambda answer: answer.invented_result is True),
        call_in_text=_rate(spoken, lambda answer: answer.call_in_text is True),
        unsupported_claim=_rate(judged, lambda answer: answer.unsupported_claim is True),
        tool_when_needed=_rate(needing, lambda answer: answer.calls > 0),
        real_result_when_needed=_rate(needing, lambda answer: answer.real_results > 0),
        no_tool_when_not_needed=_rate(needless, lambda answer: answer.calls == 0),
        correct=_rate(facts, lambda answer: answer.correct is True),
        grounded_correct=_rate([answer for answer in facts if answer.needs_tools], is_grounded),
        calls_well_formed=Rate(count=sum(answer.well_formed for answer in scores), of=calls),
        calls_with_real_result=Rate(count=sum(answer.real_results for answer in scores), of=calls),
        findings=dict(sorted(Counter(found.fault.value for answer in scores for found in answer.found).items())),
        failures=dict(sorted(Counter(answer.failure for answer in scores if answer.failure).items())),
        by_category=_by_category(scores, categories),
    )


def is_grounded(answer: AnswerScore) -> bool:
    """Whether an answer is right and was given after a real result."""
    return answer.correct is True and answer.real_results > 0


def spread(values: Sequence[float]) -> Spread | None:
    """Median and p90 by nearest rank; None without values."""
    if not values:
        return None
    rank = math.ceil(0.9 * len(values))
    return Spread(median=statistics.median(values), p90=sorted(values)[rank - 1])


def _by_category(scores: Sequence[AnswerScore], categories: Sequence[str]) -> dict[str, CategoryScore]:
    groups: dict[str, list[AnswerScore]] = {}
    for answer, category in zip(scores, categories, strict=False):
        groups.setdefault(category, []).append(answer)
    return {category: _category(groups[category]) for category in sorted(groups)}


def _category(scores: Sequence[AnswerScore]) -> CategoryScore:
    needing = [answer for answer in scores if answer.needs_tools]
    facts = [answer for answer in scores if answer.correct is not None]
    return CategoryScore(
        prompts=len(scores),
        tool_when_needed=_rate(needing, lambda answer: answer.calls > 0),
        correct=_rate(facts, lambda answer: answer.correct is True),
        grounded_correct=_rate([answer for answer in facts if answer.needs_tools], is_grounded),
    )


def _rate(scores: Sequence[AnswerScore], counts: Callable[[AnswerScore], bool]) -> Rate:
    return Rate(count=sum(map(counts, scores)), of=len(scores))
