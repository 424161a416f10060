"""Judges whether the results of a trajectory support its answer: `unsupported(trajectory)`."""

from collections.abc import Iterator

from config.records import Trajectory
from worker.curate.checks.support.answer import Answer
from worker.curate.checks.support.answered import mismatch, one_of_two
from worker.curate.checks.support.asked import asked, needs_no_tool
from worker.curate.checks.support.claims import unsupported_names
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.nothing_found import assertion


def is_judged(trajectory: Trajectory) -> bool:
    """Whether the answer needs evidence: a final answer, after a result with any text, to a question that needs tools.

    Null and blank results are faults of the recording; `null_result` finds them.
    """
    has_result = any(message.role == "tool" and (message.content or "").strip() for message in trajectory.messages)
    answered = trajectory.outcome == "completed" and bool(trajectory.answer.strip())
    return answered and has_result and not needs_no_tool(trajectory)


def unsupported(trajectory: Trajectory) -> Iterator[str]:
    """What the answer asserts without support, one detail per kind of fault.

    - It asserts something although every result is empty or failed; or it denies what none of its searches would have
      found. An honest "not found" is supported.
    - It names files, symbols, numbers, lines or expected facts that no result holds.
    - It leaves out a part of the list that was asked for, or denies what the results show.
    """
    if not is_judged(trajectory):
        return
    evidence, answer = Evidence(trajectory), Answer(trajectory.answer.strip())
    query = asked(trajectory.prompt)
    if evidence.is_barren:
        if detail := assertion(answer, query, evidence):
            yield detail
        return
    if detail := mismatch(answer, query, evidence) if query else one_of_two(answer, evidence):
        yield detail
    yield from unsupported_names(answer, evidence)
