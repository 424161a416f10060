"""Detects answers that are missing: empty_answer, no_final_answer, cut_answer."""

from worker.curate.checks.call_detection import call_text
from worker.evaluate.findings.calls import call_in_text, without_quotations
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout, short
from worker.evaluate.findings.runaway import runaway

NO_NAMES: frozenset[str] = frozenset()  # "I'll use the grep tool." announces a call in the seed's notation


def empty_answer(rollout: Rollout) -> AnswerFinding | None:
    """A completed rollout without a word and without a call at its end. One that max_tokens cut is not empty."""
    trajectory = rollout.trajectory
    if trajectory.outcome != "completed" or trajectory.truncated or rollout.last_words:
        return None
    last = trajectory.messages[-1] if trajectory.messages else None
    if last is not None and last.tool_calls:
        return None
    return AnswerFinding(AnswerFault.EMPTY_ANSWER, f"the text at the end is {trajectory.answer!r}")


def cut_answer(rollout: Rollout) -> AnswerFinding | None:
    """max_tokens ended the text of the answer. A text that ran away is `runaway`, a call is `cut_call`."""
    cut = rollout.trajectory.truncated and rollout.last_words
    if not cut or rollout.cut_calls or runaway(rollout):
        return None
    return AnswerFinding(AnswerFault.CUT_ANSWER, f"max_tokens ended the answer at {rollout.last_words[-80:]!r}")


def no_final_answer(rollout: Rollout) -> AnswerFinding | None:
    """No text for the user at the end. A single answer that is a call is one: nobody has run it yet."""
    reason = missing_answer(rollout)
    is_call = rollout.trajectory.tool_calls or call_in_text(rollout)
    if reason is None or (rollout.single and is_call and not _ran_on(rollout)):
        return None
    return AnswerFinding(AnswerFault.NO_FINAL_ANSWER, reason)


def missing_answer(rollout: Rollout) -> str | None:
    """Why there is no final answer; None if there is one."""
    trajectory = rollout.trajectory
    if trajectory.outcome == "failed":
        failure = trajectory.failure
        return f"{failure.kind.value}: {failure.message}" if failure else "it failed"
    if trajectory.truncated:
        return "cut at max_tokens"
    if not rollout.last_words or trajectory.messages[-1].tool_calls:
        return "no text at the end"
    parsed = rollout.written[-1]
    if parsed.calls and not parsed.after:
        return f"the final text is a tool call: {short(trajectory.answer, 120)}"
    if call_text(without_quotations(trajectory.answer), NO_NAMES) and not _has_prose(trajectory.answer):
        return "the final text is a tool call"
    return None


def _ran_on(rollout: Rollout) -> bool:
    """Whether a single answer went on behind its call until max_tokens ended it."""
    return rollout.trajectory.truncated and not rollout.cut_calls and bool(rollout.last_words)


def _has_prose(text: str) -> bool:
    """Whether a line of the text is neither a call nor a part of one."""
    return any(line.strip() and not call_text(line, NO_NAMES) and line.count(" ") > 1 for line in text.splitlines())
