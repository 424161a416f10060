"""Detects answers that are wrong or unfounded: unsupported_claim, wrong_answer.

Grading and support are those of curation: config/questions and worker/curate/checks/support.
"""

from config.questions.expected_facts import Grade, grade
from config.records import JsonObject, Trajectory
from worker.curate.checks.call_detection import call_text
from worker.curate.checks.support.claims import supported_facts
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.verdict import is_judged, unsupported
from worker.evaluate.findings.calls import call_in_text
from worker.evaluate.findings.ending import missing_answer
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout, short

RIGHT_RESULT = "right_result"  # the results held the expected facts
OTHER_RESULT = "other_result"  # they did not
NO_RESULT = "no_result"


def is_claim_judged(rollout: Rollout) -> bool:
    """Whether the answer needs evidence; unsupported_claim is not applicable otherwise."""
    return missing_answer(rollout) is None and is_judged(rollout.trajectory)


def unsupported_claim(rollout: Rollout) -> AnswerFinding | None:
    """A final answer that asserts something that no result holds, also after empty and failed results."""
    detail = next(unsupported(_without_calls(rollout)), None) if is_claim_judged(rollout) else None
    return AnswerFinding(AnswerFault.UNSUPPORTED_CLAIM, detail) if detail else None


def _without_calls(rollout: Rollout) -> Trajectory:
    """The trajectory without the lines of its answer that are calls: they assert nothing."""
    trajectory = rollout.trajectory
    if call_in_text(rollout) is None:
        return trajectory
    prose = "\n".join(line for line in trajectory.answer.splitlines() if not call_text(line, frozenset()))
    last = trajectory.messages[-1].model_copy(update={"content": prose})
    return trajectory.model_copy(update={"messages": (*trajectory.messages[:-1], last)})


def graded(rollout: Rollout) -> Grade | None:
    """The grade of the answer; a missing one is wrong, one that max_tokens cut is graded as far as it goes.

    A cut answer is not final, but it can have stated the facts: wrong for a limit would flatter the more concise model.
    None without `expect`, and for a single call.
    """
    trajectory = rollout.trajectory
    if trajectory.expect is None or rollout.is_call:
        return None
    calls = len(trajectory.tool_calls)
    found = grade(trajectory.expect, trajectory.answer, question=trajectory.prompt, calls=calls)
    if missing_answer(rollout) is None or is_cut_answer(rollout):
        return found
    return Grade(correct=None if set(trajectory.expect) == {"no_call"} else False)


def is_cut_answer(rollout: Rollout) -> bool:
    """Whether max_tokens ended a text that is an answer and not a call."""
    trajectory = rollout.trajectory
    if not trajectory.truncated or trajectory.messages[-1].tool_calls:
        return False
    return bool(trajectory.answer.strip()) and not call_text(trajectory.answer, frozenset())


def wrong_answer(rollout: Rollout) -> AnswerFinding | None:
    """A final answer without the expected facts, by kind: right_result if the results held them, and the answer does
    not; other_result and no_result otherwise."""
    found = graded(rollout)
    if found is None or not found.faults or missing_answer(rollout) is not None:
        return None
    kind = result_kind(rollout)
    held = "; the results held the right answer" if kind == RIGHT_RESULT else ""
    detail = f"{short(rollout.trajectory.answer)} ({'; '.join(found.faults)}{held})"
    return AnswerFinding(AnswerFault.WRONG_ANSWER, detail, kind)


def result_kind(rollout: Rollout) -> str:
    """Whether the results of a rollout hold the facts of its `expect`."""
    expect: JsonObject = rollout.trajectory.expect or {}
    evidence = Evidence(rollout.trajectory)
    if not rollout.results:
        return NO_RESULT
    return RIGHT_RESULT if evidence.found and supported_facts(expect, evidence) else OTHER_RESULT
