"""Detects calls that could not be run: cut_call, malformed_call, call_in_text."""

import re

from config.errors import FailureKind
from config.records import TOOL_NAMES
from worker.curate.checks.call_detection import call_text
from worker.curate.checks.markup import tool_names
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout, short

NO_NAMES: frozenset[str] = frozenset()
QUOTED_CODE = re.compile(r"`[^`\n]+`")
NOT_SENT = "max_tokens ended a turn of which the server sent nothing: it drops the text of a call that it cannot parse"


def cut_call(rollout: Rollout) -> AnswerFinding | None:
    """A call that ends in the middle, with its text; or a turn cut at max_tokens of which no text arrived."""
    if rollout.cut_calls:
        return AnswerFinding(AnswerFault.CUT_CALL, short(str(rollout.cut_calls[0].arguments)) or "<tool_call>")
    return AnswerFinding(AnswerFault.CUT_CALL, NOT_SENT) if rollout.dropped else None


def malformed_call(rollout: Rollout) -> AnswerFinding | None:
    """A call that is whole and cannot be parsed, or whose arguments are not an object; a call that the server lost."""
    whole = [call for call in rollout.unparsed_calls if call not in rollout.cut_calls]
    if whole:
        return AnswerFinding(AnswerFault.MALFORMED_CALL, short(f"{whole[0].name} {whole[0].arguments}".strip()))
    failure = rollout.trajectory.failure
    if failure is not None and failure.kind is FailureKind.MALFORMED_TOOL_CALL:
        return AnswerFinding(AnswerFault.MALFORMED_CALL, failure.message)
    if any(message.role == "user" and message.is_error for message in rollout.trajectory.messages):
        return AnswerFinding(AnswerFault.MALFORMED_CALL, "the server announced a call and sent none")
    return None


def call_in_text(rollout: Rollout) -> AnswerFinding | None:
    """A whole call that stands in the text, so that nobody runs it. A call in a quotation is a mention."""
    for text, parsed in zip(rollout.texts, rollout.written, strict=True):
        parts = [call for call in parsed.calls if isinstance(call.arguments, dict)]
        if parts:
            return AnswerFinding(AnswerFault.CALL_IN_TEXT, short(text))
        prose = without_quotations(text if not parsed.calls else f"{parsed.before}\n{parsed.after}")
        if call_text(prose, NO_NAMES) or _python_call(prose, rollout):
            return AnswerFinding(AnswerFault.CALL_IN_TEXT, short(text))
    return None


def without_quotations(text: str) -> str:
    """A text without the code quoted within its sentences."""
    return "\n".join(QUOTED_CODE.sub(" ", line) if _is_sentence(line) else line for line in text.split("\n"))


def _is_sentence(line: str) -> bool:
    return len(re.findall(r"[A-Za-z]{2,}", QUOTED_CODE.sub(" ", line))) >= 3


def _python_call(text: str, rollout: Rollout) -> bool:
    names = "|".join(map(re.escape, sorted({*TOOL_NAMES, *tool_names(rollout.trajectory)} - {""})))
    return re.search(rf"(?m)^\s*(?:>>>\s*)?(?:{names})\(\s*\w+\s*=.*\)\s*$", text) is not None
