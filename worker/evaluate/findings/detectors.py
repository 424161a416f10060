"""All detectors, in the order in which findings are listed."""

from collections.abc import Callable
from typing import Final

from worker.evaluate.findings.answers import unsupported_claim, wrong_answer
from worker.evaluate.findings.arguments import wrong_argument
from worker.evaluate.findings.calls import call_in_text, cut_call, malformed_call
from worker.evaluate.findings.ending import cut_answer, empty_answer, no_final_answer
from worker.evaluate.findings.invented import invented_result, invented_turn
from worker.evaluate.findings.loops import loop
from worker.evaluate.findings.names import AnswerFinding
from worker.evaluate.findings.repetition import repetition
from worker.evaluate.findings.rollout import Rollout
from worker.evaluate.findings.runaway import runaway
from worker.evaluate.findings.tools import no_real_result, no_tool_when_needed, tool_when_not_needed, wrong_tool

Detector = Callable[[Rollout], AnswerFinding | None]
DETECTORS: Final[tuple[Detector, ...]] = (
    loop,
    runaway,
    repetition,
    empty_answer,
    no_final_answer,
    cut_answer,
    cut_call,
    malformed_call,
    call_in_text,
    invented_turn,
    invented_result,
    unsupported_claim,
    no_tool_when_needed,
    tool_when_not_needed,
    wrong_tool,
    wrong_argument,
    no_real_result,
    wrong_answer,
)


def findings_of(rollout: Rollout) -> tuple[AnswerFinding, ...]:
    """At most one finding of each fault, in the order of DETECTORS. Raises UsageError if its `expect` is invalid."""
    return tuple(found for detector in DETECTORS if (found := detector(rollout)) is not None)
