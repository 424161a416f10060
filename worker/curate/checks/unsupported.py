"""Rejects answers with assertions that no tool result supports.

The check prefers precision over recall. These count as unsupported:
- a file that neither a result nor the question names or lists;
- unsupported symbols: a single one if some result is weak (empty, failed or capped), if most symbols of the answer are
  unsupported, or if the answer only lists names; in any other answer, two that are clearly code;
- a count that is not in a result, and is not a count or sum of the items that the results list;
- an expected fact of the question that no result contains.
Sentences with a negation are skipped. Answers without any result are left to tools_required_but_none and null_result.
"""

import builtins
import keyword
import re
from collections.abc import Iterator

from pydantic import JsonValue

from config.errors import RejectionReason
from config.records import Finding, Trajectory
from worker.curate.checks.evidence import Evidence, counts, listed, names, paths, stands_whole

DENIAL = re.compile(
    r"(?i)\b(?:no|not|nor|never|without|neither|cannot|could ?n['\u2019]t|does ?n['\u2019]t|is ?n['\u2019]t|nothing"
    r"|none|missing|absent)\b"
)
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
LANGUAGE = frozenset(name.lower() for name in (*dir(builtins), *keyword.kwlist, "self", "cls", "args", "kwargs"))
CODE = re.compile(r"[a-z0-9][A-Z]|\w_\w|\w\.\w")  # clearly a symbol: CamelCase, snake_case, dotted
MOSTLY = 0.5  # of the symbols in an answer


def unsupported_claim(trajectory: Trajectory) -> Iterator[Finding]:
    """Files, symbols, counts and expected facts in an answer that the trajectory does not support."""
    evidence = Evidence(trajectory)
    has_results = any((result.content or "").strip() for result in evidence.results)
    if trajectory.outcome != "completed" or not trajectory.answer or not has_results:
        return
    claims = " \n".join(part for part in SENTENCE.split(trajectory.answer) if not DENIAL.search(part))
    index = len(trajectory.messages) - 1
    for judge in (_files, _symbols, _numbers, _expected):
        if detail := judge(claims, evidence):
            yield Finding(reason=RejectionReason.UNSUPPORTED_CLAIM, detail=detail, message=index)


def _files(claims: str, evidence: Evidence) -> str:
    for path in dict.fromkeys(paths(claims)):
        if not evidence.holds_path(path):
            return f"the answer names {path!r}, which is not in any result"
    return ""


def _symbols(claims: str, evidence: Evidence) -> str:
    items = listed(evidence.trajectory.answer)
    named = list(dict.fromkeys([*names(claims), *items]))
    unknown = [name for name in named if not _known(name, evidence)]
    sure = sum(bool(CODE.search(name)) for name in unknown)
    if unknown and (evidence.has_weak_result or items or sure > 1 or len(unknown) > MOSTLY * len(named)):
        return f"the answer names {unknown[0]!r}, which is not in any result"
    return ""


def _known(name: str, evidence: Evidence) -> bool:
    """Whether a result or the question contains the name, its last part or its module's file."""
    bare = name.strip(".")
    if bare.lower() in LANGUAGE or evidence.holds(bare):
        return True
    return "." in bare and (evidence.holds(bare.rpartition(".")[2]) or evidence.holds(bare.replace(".", "/")))


def _numbers(claims: str, evidence: Evidence) -> str:
    for number in counts(claims):
        if number not in evidence.numbers:
            return f"the answer counts {number}, which no result supports"
    return ""


def _expected(claims: str, evidence: Evidence) -> str:
    expect = evidence.trajectory.expect or {}
    number = expect.get("number")
    if isinstance(number, int) and _states(str(number), claims) and number not in evidence.numbers:
        return f"the answer states {number}, which no result supports"
    for item in (*_texts(expect.get("contains")), *_texts(expect.get("any"))):
        if _states(item, claims) and not _supported(item, evidence):
            return f"the answer states {item!r}, which is not in any result"
    return ""


def _supported(item: str, evidence: Evidence) -> bool:
    folded = " ".join(item.lower().split())
    return folded in " ".join(evidence.text.split()) or ("/" in item and evidence.holds_path(item))


def _states(item: str, claims: str) -> bool:
    return stands_whole(item.lower(), claims.lower())


def _texts(value: JsonValue) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
