"""Answers that the results contradict or do not hold: wrong lists and numbers, denials, claims after empty results."""

# ruff: noqa: ARG001, D103 - every plant has the same signature, and the name of its kind describes it
import random
import re

from benchmarks.corruptions.kinds import (
    LISTS,
    UNSUPPORTED,
    WRONG,
    absent,
    answered,
    asked,
    evidence,
    items,
    kind,
    results,
    says,
    single_call,
    swap,
    tell,
    tell_items,
    tell_number,
)
from benchmarks.corruptions.phrases import choose, deny, facts_of, number_of
from benchmarks.corruptions.pinned_code import Code, hits
from config.records import Trajectory

EMPTY = "empty_answer"
PATH = re.compile(r"[\w./]+\.py")


@kind("one item of a list dropped", WRONG, UNSUPPORTED)
def one_dropped(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = items(t)
    return tell_items(t, rng.sample(names, len(names) - 1), rng) if len(names) > 2 else None


@kind("half of a list dropped", WRONG, UNSUPPORTED)
def half_dropped(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = items(t)
    return tell_items(t, names[: len(names) // 2], rng) if len(names) > 3 else None


@kind("one false item added, a name of the same code", WRONG, UNSUPPORTED)
def false_item(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = items(t)
    if not names:
        return None
    alike = [name for name in code.names if name[0].isupper() == names[-1][0].isupper()]
    pool = {"importers": code.paths, "folder_files": [p.rpartition("/")[2] for p in code.paths]}
    new = absent(pool.get(t.category, alike), f"{evidence(t)} {t.prompt}", rng)
    return tell_items(t, [*names[:-1], new, names[-1]], rng)


@kind("one false item added, a name in the result", WRONG, UNSUPPORTED)
def shown_item(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    shown: list[str] = []
    if t.category == "subclasses":
        shown = [b for _, _, text in hits(evidence(t)) for b in re.findall(r"\w+", text.partition("(")[2])]
    elif t.category == "folder_files":
        shown = [f"{name[:-1]}.py" for name in evidence(t).split("\n") if name.endswith("/")]
    elif t.category == "contents":
        shown = [b for _, _, text in hits(evidence(t)) for b in re.findall(r"\w+", text.partition("(")[2])]
    elif t.category == "parameters":
        called = re.findall(r"(\w+)\(", evidence(t))
        shown = [name for name in called if name not in t.prompt]
    names = items(t)
    wrong = [n for n in shown if n not in names and n not in ("self", "cls", "object", "py") and len(n) > 2]
    return tell_items(t, [*names, rng.choice(wrong)], rng) if names and wrong else None


@kind("count off by one", WRONG, UNSUPPORTED)
def off_by_one(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    number = number_of(t.expect)
    return tell_number(t, number + rng.choice((1, -1) if number > 1 else (1,)), rng) if number else None


@kind("one letter of a name wrong", WRONG, UNSUPPORTED)
def garbled(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    names = [n for n in facts_of(t.expect) if len(n) > 5 and says(t.answer, n) and t.category != "docstring"]
    if not names or not t.tool_calls:
        return None
    name = rng.choice(names)
    place = rng.choice([i for i, c in enumerate(name.removesuffix(".py")) if c.isalpha()][1:])
    edits = (name[:place] + name[place + 1 :], name[:place] + name[place] * 2 + name[place + 1 :])
    new = rng.choice([n for n in edits if n != name])
    return None if says(evidence(t), new) else answered(t, swap(t.answer, name, new))


@kind("a part of a name shortened", WRONG, UNSUPPORTED)
def shortened(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category == "docstring" or not t.tool_calls:
        return None
    for name in rng.sample(facts_of(t.expect), len(facts_of(t.expect))):
        parts = re.findall(r"[A-Z]?[a-z]{5,}|[A-Z]{5,}", name.removesuffix(".py"))
        if parts and says(t.answer, name):
            part = rng.choice(parts)
            new = name.replace(part, part[:3], 1)
            return None if says(evidence(t), new) else answered(t, swap(t.answer, name, new))
    return None


@kind("right file name, wrong directory", WRONG, UNSUPPORTED)
def wrong_directory(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    paths = [n for n in facts_of(t.expect) if PATH.fullmatch(n) and "/" in n and says(t.answer, n)]
    if not paths or not t.tool_calls:
        return None
    path = rng.choice(paths)
    folders = sorted({p.rpartition("/")[0] for p in code.paths if "/" in p} - {path.rpartition("/")[0]})
    made = (f"{folder}/{path.rpartition('/')[2]}" for folder in folders)
    absent_here = [p for p in made if p not in code.paths]
    return answered(t, swap(t.answer, path, rng.choice(absent_here))) if absent_here else None


@kind("another file of the code", WRONG, UNSUPPORTED)
def other_file(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category not in ("where_defined", "find_file") or not asked(t).category:
        return None
    return tell_items(t, [absent(code.paths, evidence(t), rng)], rng)


@kind("truth denied", WRONG, UNSUPPORTED)
def denied(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    question = asked(t)
    return answered(t, deny(question, rng)) if question.category and t.tool_calls and t.expect else None


@kind("right answer negated", WRONG, UNSUPPORTED)
def negated(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    question, facts = asked(t), facts_of(t.expect)
    if not question.category or not t.tool_calls or len(facts) != (2 if question.category == "both_defined" else 1):
        return None
    both = f"`{facts[0]}`" if len(facts) == 1 else f"`{facts[0]}` or `{facts[1]}`"
    forms = {
        "where_defined": (f"It is not defined in {both}.", f"{both} does not define it."),
        "find_file": (f"The file is not at {both}.",),
        "subclasses": (f"{both} doesn't inherit from it.", f"It is not a base class of {both}."),
        "importers": (f"It isn't imported in {both}.", f"{both} does not import it."),
        "parameters": (f"It does not take {both}.",),
        "decorators": (f"It is not decorated with {both}.",),
        "constant": (f"Its value is not {both}.",),
        "contents": (f"The file doesn't define {both}.",),
        "both_defined": (f"They are not in {both}.",),
    }.get(question.category)
    return answered(t, rng.choice(forms)) if forms else None


def _after_nothing(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    """The same question after one real search that finds nothing."""
    slots = asked(t).slots
    if t.category not in ("where_defined", "subclasses", "importers", "parameters", "constant"):
        return None
    name = slots.get("name") or slots.get("module") or ""
    pattern = rng.choice((f"class: {name}", f"{name}__", f"{name} defined", f"^{name}[)]$"))
    made = single_call(t, code.pinned, "grep", {"pattern": pattern})
    return made if made and evidence(made).startswith("no matches") else None


@kind("false claim after an empty search", WRONG, UNSUPPORTED)
def claimed(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made, question = _after_nothing(t, code, rng), asked(t)
    if made is None:
        return None
    path = rng.choice([p for p in code.paths if p not in facts_of(t.expect)])
    if question.category == "where_defined":
        return answered(made, choose("empty assertion", rng, **question.slots, path=path))
    pool = code.paths if question.category == "importers" else code.names
    wrong = [n for n in pool if n not in facts_of(t.expect) and n not in t.prompt]
    return tell_items(made, rng.sample(wrong, rng.choice((1, 2, 3)) if question.category in LISTS else 1), rng)


@kind("true claim after an empty search", UNSUPPORTED)
def remembered(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made = _after_nothing(t, code, rng)
    return tell(made, t.expect, rng) if made and t.expect else None


@kind("number of searched files as the answer", WRONG, UNSUPPORTED)
def searched(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made, question = _after_nothing(t, code, rng), asked(t)
    if made is None or question.category != "where_defined":
        return None
    number = next(word for word in evidence(made).split() if word.isdigit())
    return answered(made, choose("files searched", rng, **question.slots, n=number))


@kind("number of searched files as the count", WRONG, UNSUPPORTED)
def searched_count(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category not in ("count_matches", "count_files"):
        return None
    name = asked(t).slots.get("name", "class")
    made = single_call(t, code.pinned, "count", {"pattern": f"{name}: {name}"})
    number = int(evidence(made).split()[-2]) if made and evidence(made).startswith("0 ") else 0
    return tell_number(made, number, rng) if made and number not in (0, number_of(t.expect)) else None


@kind("raw result as the answer", WRONG, UNSUPPORTED, EMPTY)
def dumped(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    """Only results that hold far more than was asked for: code that was read, or many hits."""
    last = t.messages[results(t)[-1]] if results(t) else None
    if last is None or last.name not in ("read_file", "grep") or (last.content or "").count("\n") < 5:
        return None
    return answered(t, (last.content or "") if rng.random() < 0.5 else f"```\n{last.content}\n```")


@kind("question again as the answer", WRONG, UNSUPPORTED, EMPTY)
def echoed(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return answered(t, rng.choice((t.prompt, f"You asked: {t.prompt}", f"> {t.prompt}"))) if t.tool_calls else None


@kind("guess in careful words", WRONG, UNSUPPORTED)
def hedged(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if asked(t).category not in ("where_defined", "find_file"):
        return None
    guess = absent(code.paths, evidence(t), rng)
    return answered(t, choose("hedged", rng, guess=guess))


def _hit(t: Trajectory) -> tuple[str, int, str] | None:
    found = list(hits(evidence(t)))
    return found[0] if t.category in ("where_defined", "constant") and len(found) == 1 else None


@kind("line off, as path:line", UNSUPPORTED, WRONG)
def line_off(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if (hit := _hit(t)) is None:
        return None
    wrong = max(1, hit[1] + rng.choice((1, 2, -1, 10, 100)))
    fact = f"`{facts_of(t.expect)[0]}`" if facts_of(t.expect) else str(number_of(t.expect))
    value = "" if t.category == "where_defined" else f" Its value is {fact}."
    return answered(t, f"See `{hit[0]}:{wrong if wrong != hit[1] else wrong + 1}`.{value}")


@kind("line off, in words", UNSUPPORTED, WRONG)
def line_off_words(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if (hit := _hit(t)) is None:
        return None
    wrong = hit[1] + rng.choice((1, 3, 12, 90))
    where = rng.choice((f"on line {wrong} of `{hit[0]}`", f"in {hit[0]}, line {wrong}", f"at line {wrong} of {hit[0]}"))
    if t.category == "where_defined":
        return answered(t, f"It is defined {where}.")
    value = facts_of(t.expect)[0] if facts_of(t.expect) else number_of(t.expect)
    return answered(t, f"Its value is {value}; it is set {where}.")
