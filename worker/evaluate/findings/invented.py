"""Detects conversation that a student invents: turns of other roles, and results that no tool returned.

Covered: chat markers of common templates, lines that open another speaker's turn, headings and tags that announce a
tool result, text behind a call of the same turn that reports a result, and lines in the format of a grep result that
are not in any real result. Not a finding: markers and lines in quoted code, and lines of a real result or of the
question. Not covered: results in prose.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout

MARKER = re.compile(
    r"<\|(?:im_start|im_end|im_sep|eot_id|start_header_id|end_header_id|user|assistant|system)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)
SPEAKER = re.compile(  # a role before three words or a line break; "User: app/models.py" is a list entry
    r"(?im)^(?:\*\*|#{1,4} ?)?(?:user|human|assistant|ai)(?:\*\*)?:(?:\*\*)?[ \t]*(?:$|(?:[^\s`]+[ \t]+){2,}\S)"
)
EXCHANGE = re.compile(  # short turns count in pairs
    r"(?im)^(?:\*\*)?(?:user|human)(?:\*\*)?:.*\n(?:.*\n)*?(?:\*\*)?(?:assistant|ai)(?:\*\*)?:"
    r"|(?<=\n)(?:\*\*)?(?:question|q)(?:\*\*)?:.*\n(?:.*\n)*?(?:\*\*)?(?:answer|a)(?:\*\*)?:"
)
BARE_ROLE = re.compile(r"(?m)^user\n(?=\S+ \S+ \S+)(?:.*\n)*?assistant$|^assistant\n(?=\S+ \S+ \S+)")  # without markers
HEADING = re.compile(r"(?im)^[ \t]*#{2,4} ?(?:user|human|assistant|instruction|response)\b:?[ \t]*$")
TURNS = (MARKER, SPEAKER, EXCHANGE, BARE_ROLE, HEADING)
ANNOUNCED = re.compile(r"(?im)^[ \t]*(?:\*\*)?tool[ _](?:result|response|output)s?(?:\*\*)?[ \t]*:")
RESULT = re.compile(
    r"(?i)</?tool_(?:response|result|output)s?\b|</?function_results?\b|```tool_(?:result|response|output)"
    r"|\[tool execution [a-z]+\]"
)
OBSERVATION = re.compile(r"(?im)^[ \t]*observation[ \t]*:")  # a result only in a ReAct transcript
ACTION = re.compile(r"(?im)^[ \t]*(?:thought|action|action input)[ \t]*:")
REPORT = re.compile(  # behind a call that nobody has run yet
    r"(?im)^[ \t]*(?:\*\*)?(?:results?|outputs?|response)(?:\*\*)?[ \t]*:"
    r"|\bthe (?:tool|search|call|command|function|grep|output|results?)"
    r" (?:returned|returns|found|finds|shows?|showed|gave)\b"
    r"|^[ \t]*(?:```(?:json)?\n)?[ \t]*\{\s*[\"'](?:results?|output|matches|content|count|files)[\"']\s*:"
)
GREP_LINE = re.compile(r"(?m)^[ \t]*(?P<place>[\w./-]+\.\w{1,5}:\d+): ?(?P<text>\S.*?)[ \t]*$")
QUOTATION = re.compile(r"(?sm)^[ \t]*```.*?^[ \t]*```[ \t]*$|`[^`\n]+`")


def invented_turn(rollout: Rollout) -> AnswerFinding | None:
    """The rest of the first line in an assistant's text that opens or closes another turn."""
    real = _real(rollout)
    for text in rollout.texts:
        prose = _unquoted(text)
        matches = (match for pattern in TURNS for match in pattern.finditer(prose) if not _is_own(match))
        found = [match for match in matches if not _is_real(_line(match), real)]
        if found:
            first = min(found, key=lambda match: match.start())
            return AnswerFinding(AnswerFault.INVENTED_TURN, _line(first))
    return _behind_a_cut_call(rollout)


def invented_result(rollout: Rollout) -> AnswerFinding | None:
    """The rest of the first line in an assistant's text that imitates a tool result."""
    real = _real(rollout)
    for text, follows_call in _spoken(rollout):
        unquoted = _unquoted(text)
        if found := RESULT.search(unquoted):
            return AnswerFinding(AnswerFault.INVENTED_RESULT, _line(found))
        announced = [ANNOUNCED, *([OBSERVATION] if ACTION.search(text) or follows_call else [])]
        for match in (match for pattern in announced for match in pattern.finditer(unquoted)):
            if not _quotes_real(text[match.end() :], real):
                return AnswerFinding(AnswerFault.INVENTED_RESULT, _line(match))
        if follows_call and (found := REPORT.search(text)):
            return AnswerFinding(AnswerFault.INVENTED_RESULT, _line(found))
        for quoted in GREP_LINE.finditer(text):  # a real path with a real line is not invented
            if not _is_real(quoted["text"], real):
                return AnswerFinding(AnswerFault.INVENTED_RESULT, quoted.group().strip())
    return None


def _is_own(match: re.Match[str]) -> bool:
    """Whether the assistant names itself, or defines a word, at the beginning of its text: "AI: short for ..."."""
    return match.re is SPEAKER and not match.string[: match.start()].strip() and match.group()[:1] in "aA"


def _spoken(rollout: Rollout) -> Iterator[tuple[str, bool]]:
    """The assistant's texts, and whether each follows a call of the same turn, whose result has not come."""
    messages = rollout.trajectory.messages
    for before, message in pairwise((None, *messages)):
        if message is not None and message.role == "assistant" and (message.content or "").strip():
            yield message.content or "", before is not None and bool(before.tool_calls)


def _behind_a_cut_call(rollout: Rollout) -> AnswerFinding | None:
    """A chat marker within the text of a call that did not parse."""
    for call in rollout.unparsed_calls:
        if isinstance(call.arguments, str) and (found := MARKER.search(call.arguments)):
            return AnswerFinding(AnswerFault.INVENTED_TURN, _line(found))
    return None


def _unquoted(text: str) -> str:
    """The text with its closed code blocks and inline code blanked out, character by character."""
    return QUOTATION.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def _real(rollout: Rollout) -> list[str]:
    """The results and the question, folded: quoting them invents nothing."""
    return [_folded(text) for text in (*rollout.results, rollout.trajectory.prompt)]


def _is_real(line: str, real: Iterable[str]) -> bool:
    folded = _folded(line)
    return bool(folded) and any(folded in text for text in real)


def _quotes_real(text: str, real: list[str]) -> bool:
    """Whether the first block of a text quotes real results only. "Tool output:" may stand above them."""
    block = re.split(r"\n[ \t]*\n", text.strip().removeprefix("```"), maxsplit=1)[0].partition("```")[0]
    lines = [line for line in block.splitlines() if line.strip()]
    return bool(lines) and all(_is_real(line, real) for line in lines)


def _line(match: re.Match[str]) -> str:
    return match.string[match.start() :].strip().partition("\n")[0]


def _folded(text: str) -> str:
    return " ".join(text.split()).strip("`")
