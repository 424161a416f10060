"""Checks of how a rollout ended: failed, truncated, empty, or answered without tools."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from config.errors import RejectionReason, UsageError
from config.questions.expected_facts import Grade, grade
from config.records import Finding, Trajectory

# Words that no English sentence or list of names ends in.
NEVER_LAST = frozenset({"a", "an", "the", "and", "or", "of", "its", "which", "whose", "where", "because", "that", "it"})
# Four or more words behind a sentence, without an end: who ends one sentence with a full stop ends the next one.
HALF_SENTENCE = re.compile(r"[.!?] [A-Z][a-z']*(?: [\w'-]+,?){2,} [a-z]+$")
NO_CONTENT = re.compile(r"(?i)^\W*(?:none|null|n/?a|todo|tbd|undefined|nan|\.\.\.)?\W*$")


def failed_generation(trajectory: Trajectory) -> Iterator[Finding]:
    """The rollout did not complete."""
    if trajectory.outcome == "failed":
        failure = trajectory.failure
        detail = (
            f"{failure.kind}: {failure.message[:200]}" if failure else "the rollout failed without a recorded reason"
        )
        yield Finding(reason=RejectionReason.FAILED_GENERATION, detail=detail)


def truncated(trajectory: Trajectory) -> Iterator[Finding]:
    """A model turn ended at max_tokens, or the answer stops inside a code fence, a quotation or a sentence."""
    for number, reason in enumerate(trajectory.finish_reasons):
        if reason == "length":
            yield Finding(
                reason=RejectionReason.TRUNCATED,
                detail=f"model turn {number + 1} of {len(trajectory.finish_reasons)} ended with finish_reason 'length'",
            )
    if place := _open_end(trajectory.answer):
        yield Finding(
            reason=RejectionReason.TRUNCATED,
            detail=f"the answer ends {place}",
            message=len(trajectory.messages) - 1,
        )


def _open_end(answer: str) -> str:
    """Where the answer stops in the middle; "" if it ends. A list may end without a full stop, a sentence in "the"
    may not."""
    if len(re.findall(r"(?m)^\s*```", answer)) % 2:
        return "inside a code fence"
    last = answer.rstrip().rpartition("\n")[2]
    if last.lstrip().startswith("```"):  # the end of a code fence
        return ""
    if last.count("`") % 2:
        return f"inside a quotation, {last[last.rindex('`') :][:40]!r}"
    word = re.search(r"(\w+)$", last)
    if HALF_SENTENCE.search(last) or (word and word[1] in NEVER_LAST and " " in last):
        return f"in the middle of a sentence, {last[-40:]!r}"
    return ""


def empty_answer(trajectory: Trajectory) -> Iterator[Finding]:
    """A completed rollout without a final answer: empty text, or an open call."""
    if trajectory.outcome != "completed":
        return
    last = trajectory.messages[-1] if trajectory.messages else None
    index = len(trajectory.messages) - 1
    if last is None:
        detail = "there are no messages"
    elif last.role != "assistant":
        detail = f"the last message has the role {last.role!r}"
    elif last.tool_calls:
        detail = f"the last message calls {last.tool_calls[0].name!r} and no result follows"
    elif NO_CONTENT.match(last.content or ""):
        detail = f"the answer is {last.content!r}"
    else:
        return
    yield Finding(reason=RejectionReason.EMPTY_ANSWER, detail=detail, message=index if last is not None else None)


def tools_required_but_none(trajectory: Trajectory) -> Iterator[Finding]:
    """A completed rollout without a call although the question requires tools."""
    if trajectory.outcome == "completed" and trajectory.requires_tools and not trajectory.tool_calls:
        yield Finding(
            reason=RejectionReason.TOOLS_REQUIRED_BUT_NONE,
            detail="the question requires tools, but none was called",
            message=len(trajectory.messages) - 1 if trajectory.messages else None,
        )


def is_correct(trajectory: Trajectory) -> bool | None:
    """Whether a completed rollout's answer has the facts of `expect`.

    None if the rollout failed, has no valid `expect`, or the answer cannot be decided.
    """
    found = _graded(trajectory)
    return found.correct if found else None


def wrong_answer(trajectory: Trajectory) -> Iterator[Finding]:
    """An answer that does not have the facts of `expect`, or was given after a call that `expect` excludes."""
    found = _graded(trajectory)
    if trajectory.answer.strip() and found and found.faults:
        yield Finding(
            reason=RejectionReason.WRONG_ANSWER,
            detail=f"the answer {trajectory.answer.strip()[:80]!r} {'; '.join(found.faults)}",
            message=len(trajectory.messages) - 1,
        )


def _graded(trajectory: Trajectory) -> Grade | None:
    if trajectory.outcome != "completed" or trajectory.expect is None:
        return None
    return _grade(json.dumps(trajectory.expect), trajectory.answer, trajectory.prompt, len(trajectory.tool_calls))


@lru_cache(maxsize=16)  # the check and the count of right answers both grade a trajectory
def _grade(expect: str, answer: str, question: str, calls: int) -> Grade | None:
    try:
        return grade(json.loads(expect), answer, question=question, calls=calls)
    except UsageError:  # submit refuses such prompts, but files from elsewhere may hold anything
        return None
