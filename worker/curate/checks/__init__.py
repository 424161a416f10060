"""The checks of single trajectories. Each looks for one rejection reason and yields its evidence."""

from collections.abc import Callable, Iterator

from config.errors import RejectionReason
from config.records import Finding, Trajectory
from worker.curate.checks.answers import (
    empty_answer,
    failed_generation,
    tools_required_but_none,
    truncated,
    wrong_answer,
)
from worker.curate.checks.language import other_language
from worker.curate.checks.lookalikes import lookalike_name
from worker.curate.checks.markup import chat_markup, leaked_tool_call
from worker.curate.checks.question import other_question
from worker.curate.checks.repeats import repeated_call, too_many_calls
from worker.curate.checks.repetition import repeated_text
from worker.curate.checks.result_matches_call import result_matches_call
from worker.curate.checks.secrets import leaked_secret
from worker.curate.checks.shape import malformed, phantom_call
from worker.curate.checks.tool_results import null_result, placeholder_result, retry_unanswered, unpaired_result
from worker.curate.checks.unsupported import unsupported_claim

Check = Callable[[Trajectory], Iterator[Finding]]
# What a turn that max_tokens cut lacks or leaves: its call was not run or not read, or is text; no answer follows.
LACKING_WHEN_CUT = frozenset(
    {
        RejectionReason.NULL_RESULT,
        RejectionReason.PHANTOM_CALL,
        RejectionReason.RETRY_UNANSWERED,
        RejectionReason.TOOLS_REQUIRED_BUT_NONE,
        RejectionReason.EMPTY_ANSWER,
        RejectionReason.MALFORMED,
        RejectionReason.LEAKED_TOOL_CALL,
    }
)


def all_checks(*, max_calls: int, special: frozenset[str] = frozenset(), keep_wrong: bool = False) -> tuple[Check, ...]:
    """Every check of a single trajectory. The student's `special` tokens count as chat markup.

    With `keep_wrong`, answers without the expected facts are not rejected for it.
    """
    return (
        null_result,
        unpaired_result,
        result_matches_call,
        phantom_call,
        placeholder_result,
        retry_unanswered,
        tools_required_but_none,
        leaked_tool_call,
        chat_markup(special),
        truncated,
        empty_answer,
        repeated_call,
        too_many_calls(max_calls),
        unsupported_claim,
        leaked_secret,
        *(() if keep_wrong else (wrong_answer,)),
        malformed,
        other_question,
        repeated_text,
        other_language,
        lookalike_name,
        failed_generation,
    )


def findings(trajectory: Trajectory, checks: tuple[Check, ...]) -> tuple[Finding, ...]:
    """All findings, in the order of the checks. A turn that max_tokens cut is only truncated, not also incomplete."""
    found = (finding for check in checks for finding in check(trajectory))
    return tuple(finding for finding in found if not (trajectory.truncated and _follows_from_cut(finding, trajectory)))


def _follows_from_cut(finding: Finding, trajectory: Trajectory) -> bool:
    is_last = finding.message == len(trajectory.messages) - 1 or finding.reason is RejectionReason.RETRY_UNANSWERED
    return is_last and finding.reason in LACKING_WHEN_CUT
