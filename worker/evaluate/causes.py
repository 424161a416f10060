"""One primary cause for each answer that is not right, with counts, examples and what would help. Pure.

An answer is not right if it contradicts its `expect`, or has no real result though it needs one, or has a finding that
makes a right answer worthless (FATAL); without `expect`, if it has any finding but a missing result.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from config.records import Trajectory
from config.report.failure_causes import FailedAnswer, FailureCause, Turn
from worker.evaluate.cause_table import BY_NAME, ORDER, Cause, Failed, cause_of
from worker.evaluate.findings.names import AnswerFault
from worker.evaluate.findings.rollout import short
from worker.evaluate.score import AnswerScore, observe

EXAMPLES: Final = 3
FATAL: Final = frozenset(
    {AnswerFault.INVENTED_TURN, AnswerFault.INVENTED_RESULT, AnswerFault.RUNAWAY, AnswerFault.LOOP}
)


def failure_causes(trajectories: Iterable[Trajectory]) -> tuple[FailureCause, ...]:
    """The causes of all answers that are not right, the most frequent one first.

    Raises UsageError if an `expect` is invalid.
    """
    scored = [(one, observe(one, needs_tools=one.requires_tools)) for one in trajectories]
    failed = [Failed(one, score) for one, score in scored if is_failed(score)]
    found: dict[str, list[tuple[Failed, str]]] = {}
    for answer in failed:
        cause, detail = cause_of(answer)
        found.setdefault(cause.name, []).append((answer, detail))
    made = (_record(BY_NAME[name], members, of=len(scored)) for name, members in found.items())
    return tuple(sorted(made, key=lambda cause: (-cause.count, ORDER[cause.cause])))


def is_failed(score: AnswerScore) -> bool:
    """Whether an answer is not right; one without `expect` fails by any finding but a missing result."""
    faults = {finding.fault for finding in score.found}
    if score.correct is True:
        return bool(faults & FATAL) or (bool(score.needs_tools) and score.real_results == 0)
    return score.correct is False or bool(faults - {AnswerFault.NO_REAL_RESULT})


def _record(cause: Cause, members: Sequence[tuple[Failed, str]], *, of: int) -> FailureCause:
    categories = dict(Counter(answer.trajectory.category for answer, _ in members).most_common())
    return FailureCause(
        cause=cause.name,
        title=cause.title,
        count=len(members),
        of=of,
        categories=categories,
        help=cause.help.replace("{categories}", " and ".join(list(categories)[:2])),
        examples=tuple(_example(answer, detail) for answer, detail in _spread(members)),
    )


def _spread(members: Sequence[tuple[Failed, str]]) -> list[tuple[Failed, str]]:
    """Up to EXAMPLES members, from different categories first."""
    firsts = {answer.trajectory.category: (answer, detail) for answer, detail in reversed(members)}
    ordered = [*reversed(firsts.values()), *members]
    unique = {answer.trajectory.job_id: (answer, detail) for answer, detail in reversed(ordered)}
    return list(reversed(unique.values()))[:EXAMPLES]


def _example(answer: Failed, detail: str) -> FailedAnswer:
    trajectory = answer.trajectory
    return FailedAnswer(
        job_id=trajectory.job_id,
        category=trajectory.category,
        prompt=trajectory.prompt,
        turns=tuple(_turns(trajectory)),
        expected=expected_text(trajectory),
        detail=short(detail),
    )


def expected_text(trajectory: Trajectory) -> str:
    """The expected facts as text: "paths: app/base.py; about: Task"."""
    facts = (trajectory.expect or {}).items()
    return "; ".join(f"{key}: {_plain(value)}" for key, value in facts if key != "root")


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} in {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _turns(trajectory: Trajectory) -> Iterator[Turn]:
    for message in trajectory.messages:
        if message.role != "assistant" or (message.content or "").strip() or not message.tool_calls:
            yield Turn(role=message.role, text=short(message.content or ""))
        for call in message.tool_calls:
            arguments = call.arguments
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            yield Turn(role="call", text=short(f"{call.name} {text}".strip()))
