"""Detects wrong use of tools: none where one is needed, one where none is, the wrong one, no real result."""

from collections import Counter
from collections.abc import Sequence

from config.questions.answering_tools import SUFFICIENT, needed
from config.questions.wording import parse
from config.records import TOOL_NAMES, ToolCall
from worker.evaluate.findings.answers import graded
from worker.evaluate.findings.calls import call_in_text, malformed_call
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout


def no_tool_when_needed(rollout: Rollout) -> AnswerFinding | None:
    """No call, and no attempt at one, although the question needs tools."""
    calls = rollout.trajectory.tool_calls
    if not rollout.needs_tools or calls or rollout.cut_calls or rollout.dropped:
        return None
    if call_in_text(rollout) or malformed_call(rollout):
        return None
    messages = rollout.trajectory.messages
    if rollout.trajectory.outcome == "failed" and not any(message.role == "assistant" for message in messages):
        return None  # it never got to answer
    return AnswerFinding(AnswerFault.NO_TOOL_WHEN_NEEDED, "no call was made")


def tool_when_not_needed(rollout: Rollout) -> AnswerFinding | None:
    """A call although the question needs none."""
    calls = rollout.trajectory.tool_calls
    found = rollout.needs_tools is False and calls
    return AnswerFinding(AnswerFault.TOOL_WHEN_NOT_NEEDED, _names(calls)) if found else None


def no_real_result(rollout: Rollout) -> AnswerFinding | None:
    """A call with an error, a null or blank result, or none. Calls of a single answer and cut calls are never run."""
    if rollout.single:
        return None
    calls = rollout.trajectory.tool_calls
    unreal = [call for call in calls if call.id not in rollout.real_results and call not in rollout.cut_calls]
    return AnswerFinding(AnswerFault.NO_REAL_RESULT, _names(unreal)) if unreal else None


def wrong_tool(rollout: Rollout) -> AnswerFinding | None:
    """A call of a tool that was not offered; or, for mined questions, no call of a tool that can answer the category.

    A right answer is excused: a listing and a lucky read can find a class too. Foreign tools cannot be judged.
    """
    calls = [call for call in rollout.trajectory.tool_calls if call.name and call not in rollout.cut_calls]
    offered = _offered(rollout)
    unknown = [call.name for call in calls if offered and call.name not in offered]
    if unknown:
        return AnswerFinding(AnswerFault.WRONG_TOOL, f"{unknown[0]!r} is not one of the tools", "unknown_tool")
    category = category_of(rollout)
    sufficient = {name for tools in SUFFICIENT.get(category, ()) for name in tools}
    if not calls or not sufficient or any(call.name in sufficient or call.name not in TOOL_NAMES for call in calls):
        return None
    found = graded(rollout)
    if found is not None and found.correct:
        return None
    detail = f"{_names(calls)} cannot answer a question of the category {category}, which needs {needed(category)}"
    return AnswerFinding(AnswerFault.WRONG_TOOL, detail, "wrong_category")


def category_of(rollout: Rollout) -> str:
    """The category of a mined question, from its wording or from the record; "" for any other."""
    question = parse(rollout.trajectory.prompt)
    category = question.category if question else rollout.trajectory.category
    return category if category in SUFFICIENT else ""


def _offered(rollout: Rollout) -> set[str]:
    functions = (tool.get("function") for tool in rollout.trajectory.tools)
    return {str(function.get("name")) for function in functions if isinstance(function, dict)}


def _names(calls: Sequence[ToolCall]) -> str:
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in Counter(call.name for call in calls).items())
