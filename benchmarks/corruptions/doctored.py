"""Results of the pinned commit with something changed: a line, a hit, a number, a note."""

# ruff: noqa: ARG001, D103 - every plant has the same signature, and the name of its kind describes it
import random
import re

from benchmarks.corruptions.kinds import (
    REPLAY,
    UNSUPPORTED,
    WRONG,
    absent,
    answered,
    edit,
    evidence,
    items,
    kind,
    result_of,
    results,
    says,
    swap,
    tell,
    tell_items,
    tell_number,
)
from benchmarks.corruptions.phrases import facts_of, number_of
from benchmarks.corruptions.pinned_code import Code, hits
from config.records import Trajectory

NOTE = re.compile(r"\n\[[^\n]*not shown[^\n]*\]$")


def _lines(t: Trajectory, place: int) -> list[str]:
    return (t.messages[place].content or "").split("\n")


def _with_lines(t: Trajectory, place: int, lines: list[str]) -> Trajectory:
    return edit(t, place, content="\n".join(lines))


@kind("line number shifted in a grep result", REPLAY, UNSUPPORTED)
def shifted_hit(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place = result_of(t, "grep")
    found = list(hits(t.messages[place].content or "")) if place else []
    if not place or not found:
        return None
    path, line, text = rng.choice(found)
    shown = f"{path}:{line + rng.choice((1, 2, 10))}: {text}"
    return _with_lines(t, place, [shown if old == f"{path}:{line}: {text}" else old for old in _lines(t, place)])


@kind("line numbers shifted in a read result", REPLAY, "unpaired_result")
def shifted_read(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place = result_of(t, "read_file")
    if not place:
        return None
    lines = [re.sub(r"^(\d+):", lambda m: f"{int(m[1]) + 1}:", line) for line in _lines(t, place)]
    return _with_lines(t, place, lines)


@kind("hit of the answer dropped from the result", REPLAY, UNSUPPORTED)
def dropped_hit(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place = result_of(t, "grep")
    lines = _lines(t, place) if place else []
    gone = [i for i, line in enumerate(lines) for item in items(t) if says(line.partition(" = ")[0], item)]
    if not place or len(lines) < 3 or not gone or t.category == "parameters" or len(results(t)) > 1:
        return None
    cut = rng.choice(gone)
    item = next(item for item in items(t) if says(lines[cut], item))
    left = [line for line in lines if not says(line, item)]
    return _with_lines(t, place, left) if left else None


@kind("hit dropped from the result and the answer", REPLAY, WRONG)
def dropped_both(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made = dropped_hit(t, code, rng)
    return tell_items(made, [item for item in items(t) if says(evidence(made), item)], rng) if made else None


def _invented(t: Trajectory, code: Code, rng: random.Random) -> tuple[str, str] | None:
    """A hit that could be one, and the item that it adds to the answer."""
    question = t.prompt
    name = absent([n for n in code.names if n[0].isupper()], f"{evidence(t)} {question}", rng)
    path = absent(code.paths, f"{evidence(t)} {question}", rng)
    line = rng.randrange(12, 240)
    if t.category == "subclasses":
        base = next((b for bases in code.bases.values() for b in bases if says(question, b)), None)
        return (f"{path}:{line}: class {name}({base}):", name) if base else None
    if t.category == "contents":
        home = next(hits(evidence(t)), ("", 0, ""))[0]
        return f"{home}:{line + 900}: class {name}:", name
    if t.category == "importers" and (hit := next(hits(evidence(t)), None)):
        return f"{path}:{line}: {hit[2]}", path
    return None


@kind("hit added to the result and the answer", REPLAY, WRONG)
def added_both(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made, place = _invented(t, code, rng), result_of(t, "grep")
    if not made or not place or len(results(t)) > 1:
        return None
    grown = _with_lines(t, place, [*_lines(t, place), made[0]])
    return tell_items(grown, [*items(t), made[1]], rng)


@kind("hit added to the result only", REPLAY, UNSUPPORTED)
def added_hit(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made, place = _invented(t, code, rng), result_of(t, "grep")
    if not made or not place or len(results(t)) > 1:
        return None
    return _with_lines(t, place, [*_lines(t, place), made[0]])


@kind("note on what is not shown removed", REPLAY)
def no_note(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    places = [i for i in results(t) if NOTE.search(t.messages[i].content or "")]
    return edit(t, places[0], content=NOTE.sub("", t.messages[places[0]].content or "")) if places else None


@kind("count changed by one in result and answer", REPLAY, WRONG)
def count_both(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place, number = result_of(t, "count"), number_of(t.expect)
    if place is None or number is None or number < 3 or len(results(t)) > 1:
        return None
    new = number + rng.choice((1, -1))
    made = edit(t, place, content=re.sub(rf"^{number}\b", str(new), t.messages[place].content or ""))
    return tell_number(made, new, rng) if made != t else None


@kind("count changed by one in the result only", REPLAY, UNSUPPORTED)
def count_result(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place, number = result_of(t, "count"), number_of(t.expect)
    if place is None or number is None or number < 3 or len(results(t)) > 1:
        return None
    made = edit(t, place, content=re.sub(rf"^{number}\b", str(number + 1), t.messages[place].content or ""))
    return made if made != t else None


@kind("text of a read line altered, answer as it reads", REPLAY, WRONG)
def altered_read(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    places = [i for i in results(t) if t.messages[i].name in ("read_file", "grep")]
    names = facts_of(t.expect)
    if t.category not in ("parameters", "decorators", "constant") or not places or not names:
        return None
    old = rng.choice(names)
    new = absent(("payload", "handler", "strict", "timeout_ms", "backup"), evidence(t), rng)
    if t.category == "constant":
        new = str(rng.randrange(41, 99)) if old.replace(".", "").isdigit() else new
    made = t
    for place in places:
        made = edit(
            made, place, content=re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, t.messages[place].content or "")
        )
    return tell(made, {"contains": [new if n == old else n for n in names]}, rng) if made != t else None


@kind("text of another read line altered", REPLAY)
def altered_aside(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place = result_of(t, "read_file")
    lines = _lines(t, place) if place else []
    shown = [
        i
        for i, line in enumerate(lines)
        if re.search(r"\b(return|self|None|True|is|the)\b", line) and not any(says(line, f) for f in facts_of(t.expect))
    ]
    if not place or not shown:
        return None
    i = rng.choice(shown)
    words = {"return": "yield", "self": "this", "None": "0", "True": "False", "is": "was", "the": "every"}
    lines[i] = re.sub(r"\b(return|self|None|True|is|the)\b", lambda m: words[m[1]], lines[i], count=1)
    return _with_lines(t, place, lines)


@kind("digit added to a count in result and answer", REPLAY, WRONG)
def tenfold(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place, number = result_of(t, "count"), number_of(t.expect)
    if place is None or number is None or len(results(t)) > 1 or number < 3:
        return None
    made = edit(t, place, content=swap(t.messages[place].content or "", str(number), str(number * 10)))
    return answered(made, swap(t.answer, str(number), str(number * 10))) if made != t else None
