"""The facts that a prompt expects, each with whether the answer states it."""

import json
from dataclasses import dataclass

from pydantic import JsonValue

from config.errors import UsageError
from config.questions.expected_facts import grade
from config.questions.grading.schema import FACTS, NEEDS
from config.records import JsonObject, Trajectory

TITLES = {  # keys whose name alone does not say what is expected
    "contains": "all of these phrases",
    "any": "one of these phrases",
    "absent": "none of these phrases",
    "missing": "says that there is no such name",
    "no_call": "answers without a tool",
    "pairs": "each name with its path",
}


@dataclass(frozen=True)
class FactView:
    """One expected fact."""

    name: str
    wanted: str
    met: bool | None
    """None if it cannot be decided, or there is no answer"""
    fault: str


def facts(expect: JsonObject | None, trajectory: Trajectory | None) -> list[FactView]:
    """Each fact of `expect` beside the answer; [] if nothing is expected. An invalid `expect` is one undecided fact."""
    views = []
    for name in FACTS:
        if expect and name in expect:
            described = {key: expect[key] for key, about in NEEDS.items() if key in expect and name in about}
            met, fault = _graded({name: expect[name], **described}, trajectory)
            views.append(FactView(TITLES.get(name, name), _words(expect[name], described), met, fault))
    if expect and not views:
        views.append(
            FactView("expect", json.dumps(expect, ensure_ascii=False), None, "none of its keys is a known fact")
        )
    return views


def _graded(expect: JsonObject, trajectory: Trajectory | None) -> tuple[bool | None, str]:
    if trajectory is None or trajectory.outcome != "completed":
        return None, "there is no answer"
    try:
        calls = len(trajectory.tool_calls)
        graded = grade(expect, trajectory.answer, question=trajectory.prompt, calls=calls)
    except UsageError as error:
        return None, str(error)
    if graded.correct is None and not graded.faults and "no_call" in expect:  # grading decides it by its fault alone
        return True, ""
    return (False if graded.faults else graded.correct), "; ".join(graded.faults)


def _words(value: JsonValue, described: JsonObject) -> str:
    """The expected value and what describes it, "120, unit minutes"."""
    parts = [_text(value), *(f"{key} {_text(given)}" for key, given in described.items())]
    return ", ".join(filter(None, parts))


def _text(value: JsonValue) -> str:
    match value:
        case True:
            return ""
        case list():
            return " · ".join(map(_text, value))
        case dict():
            return " · ".join(f"{name}: {_text(item)}" for name, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)
