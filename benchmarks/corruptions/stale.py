"""Results that are not of the pinned commit: of another commit, or of another project."""

# ruff: noqa: ARG001, D103 - every plant has the same signature, and the name of its kind describes it
import random

from benchmarks.corruptions.kinds import (
    REPLAY,
    UNSUPPORTED,
    WRONG,
    Plant,
    answered,
    asked,
    called,
    evidence,
    kind,
    results,
    says,
    tell,
)
from benchmarks.corruptions.phrases import choose, deny, facts_of, number_of
from benchmarks.corruptions.pinned_code import Code, Version, facts_key
from config.records import JsonObject, Trajectory


def _elsewhere(t: Trajectory, version: Version) -> Trajectory | None:
    """The same calls on other code, if the results differ and no more calls fail."""
    made = called(t, version, {})
    same = [m.content for m in made.messages] == [m.content for m in t.messages]
    return None if same or not t.tool_calls or len(results(made)) < len(results(t)) else made


def _shown(expect: JsonObject, text: str) -> bool:
    facts = [*facts_of(expect), *([str(number_of(expect))] if number_of(expect) is not None else [])]
    return bool(facts) and all(says(text, fact) for fact in facts)


def _as_found(t: Trajectory, version: Version, rng: random.Random) -> Trajectory | None:
    """The other code's results and the answer that they support, which is wrong at the pinned commit."""
    made = _elsewhere(t, version)
    expect = version.facts.get(facts_key(asked(t)))
    if made is None or expect is None or expect == t.expect or not _shown(expect, evidence(made)):
        return None
    return tell(made, expect, rng)


def _not_there(t: Trajectory, version: Version, rng: random.Random) -> Trajectory | None:
    """The other code has nothing, and the answer says so; the pinned commit has it."""
    made = _elsewhere(t, version)
    if made is None or not all(text.startswith("no ") for text in evidence(made).split("\n")):
        return None
    question = asked(t)
    if question.category == "where_defined":
        searched = next(word for word in evidence(made).split() if word.isdigit())
        return answered(made, choose("not found", rng, **question.slots, n=searched))
    return answered(made, deny(question, rng)) if question.category else None


def _stale(what: str) -> Plant:
    return lambda t, code, rng: _as_found(t, code.stale[what], rng)


for what in ("files moved", "matches added", "matches removed"):
    kind(f"another commit, {what}, answer as found there", REPLAY, WRONG)(_stale(what))


@kind("another commit, symbols renamed, reported as missing", REPLAY, WRONG, sets=("plain", "prose"))
def renamed(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return _not_there(t, code.stale["symbols renamed"], rng)


@kind("another commit, lines shifted, answer unchanged", REPLAY, UNSUPPORTED)
def shifted(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made = _elsewhere(t, code.stale["lines shifted"])
    return made if made and (t.category != "docstring" or _shown(t.expect or {}, evidence(made))) else None


@kind("another commit, answer of the pinned one", REPLAY, UNSUPPORTED)
def mixed(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    version = code.stale[rng.choice(("files moved", "matches added", "matches removed"))]
    expect = version.facts.get(facts_key(asked(t)))
    made = _elsewhere(t, version)
    return made if made and expect and expect != t.expect else None


@kind("another project, answer as found there", REPLAY, WRONG)
def foreign(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return _as_found(t, code.foreign, rng)


@kind("another project, reported as missing", REPLAY, WRONG, sets=("plain", "prose"))
def foreign_missing(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return _not_there(t, code.foreign, rng)
