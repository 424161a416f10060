"""Detects generations that did not find their end.

A text that max_tokens ends may be sound and only too long (`cut_answer`), so a cut alone proves nothing. A generation
ran away if max_tokens ended it and what it wrote last was not an answer any more: it repeats itself, or goes on with
turns or results that it invents. A call that max_tokens ended after LONG_CALL characters, or LONG_CALL_TOKENS tokens,
ran away too: whole calls of the students in tests/data/served take 20 to 60 tokens. Without a recorded reason for the
end, only text that repeats itself over LONG_TEXT words or more counts: the student had room to stop and did not.
"""

from worker.evaluate.findings.invented import invented_result, invented_turn
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.repetition import degenerate, spoken_and_called
from worker.evaluate.findings.rollout import Rollout

LONG_CALL = 600  # characters
LONG_CALL_TOKENS = 150
LONG_TEXT = 150  # words
TOKEN_CHARS = 2.5  # of code and JSON, for an estimate of the tokens of earlier turns


def runaway(rollout: Rollout) -> AnswerFinding | None:
    """The generation did not find its end; the module's docstring defines it."""
    if rollout.trajectory.truncated:
        return _cut(rollout)
    for text in spoken_and_called(rollout):
        if len(text.split()) >= LONG_TEXT and (evidence := degenerate(text)):
            return _runaway(f"{len(text.split())} words that repeat themselves: {evidence}")
    return None


def _cut(rollout: Rollout) -> AnswerFinding | None:
    if rollout.dropped:
        tokens = _last_tokens(rollout)
        return _runaway(f"{tokens} tokens of a call, none of which arrived") if tokens >= LONG_CALL_TOKENS else None
    last = rollout.trajectory.messages[-1]
    evidence = next(
        filter(None, map(degenerate, [last.content or "", *(str(c.arguments) for c in last.tool_calls)])), ""
    )
    if not evidence and (turn := invented_turn(rollout) or invented_result(rollout)):
        evidence = turn.detail
    if not evidence and rollout.cut_calls and len(str(rollout.cut_calls[-1].arguments)) > LONG_CALL:
        evidence = f"a call of {len(str(rollout.cut_calls[-1].arguments))} characters"
    return _runaway(f"max_tokens ended it: {evidence}") if evidence else None


def _last_tokens(rollout: Rollout) -> int:
    """Tokens of the last turn: those of the rollout, less an estimate for the turns that arrived."""
    arrived = sum(map(len, spoken_and_called(rollout))) + 20 * len(rollout.trajectory.tool_calls)
    return max(0, rollout.trajectory.usage.output_tokens - round(arrived / TOKEN_CHARS))


def _runaway(detail: str) -> AnswerFinding:
    return AnswerFinding(AnswerFault.RUNAWAY, detail)
