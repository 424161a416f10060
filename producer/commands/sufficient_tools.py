"""Checks that a run's tools can answer its prompts, before anything is queued."""

from collections import Counter
from collections.abc import Iterable

from config.errors import RejectionReason, UsageError
from config.questions.answering_tools import can_answer, needed
from config.questions.wording import CODE_CATEGORIES, MISSING, parse
from config.records import Prompt, Spec
from producer.output import pluralise

SHOWN = 80  # characters of a prompt in a message


def require_tools(prompts: Iterable[Prompt], spec: Spec) -> None:
    """Raise UsageError for the first prompt that needs tools but would have none: its answer would be rejected."""
    for prompt in prompts:
        if not prompt.requires_tools:
            continue
        shown = repr(prompt.prompt if len(prompt.prompt) <= SHOWN else f"{prompt.prompt[:SHOWN]}...")
        consequence = f"its answer would be rejected as {RejectionReason.TOOLS_REQUIRED_BUT_NONE}"
        if not (prompt.workspace or spec.workspace):
            raise UsageError(
                f"the prompt {shown} needs tools, but there is no workspace, so {consequence}; "
                'give --workspace, or set "requires_tools": false in the prompt'
            )
        if not (spec.tools or spec.allow_commands):
            raise UsageError(
                f"the prompt {shown} needs tools, but the run has none, so {consequence}; "
                'give --tools, or set "requires_tools": false in the prompt'
            )


def require_sufficient_tools(prompts: Iterable[Prompt], spec: Spec) -> None:
    """Raise UsageError if the run's tools cannot answer some of the mined questions about code.

    Only questions in the miner's own wording are refused: what other prompts of the same category need is not known. A
    program of --allow-command may answer anything.
    """
    possible = {category for category in CODE_CATEGORIES if can_answer(category, spec.tools)}
    if spec.allow_commands or len(possible) == len(CODE_CATEGORIES):
        return
    wanting = Counter(
        prompt.category
        for prompt in prompts
        if prompt.requires_tools and prompt.category in CODE_CATEGORIES and prompt.category not in possible
        if (question := parse(prompt.prompt)) and prompt.category in (question.category, MISSING)
    )
    if wanting:
        tools = ",".join(spec.tools)
        listed = "; ".join(f"{category} ({number}): {needed(category)}" for category, number in sorted(wanting.items()))
        raise UsageError(
            f"{pluralise(wanting.total(), 'prompt')} cannot be answered with --tools {tools}; the categories and "
            f"what they need: {listed}. Add the tools, or mine prompts for these: applejack prompts --tools {tools}"
        )
