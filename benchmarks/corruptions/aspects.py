"""Real results, but the answer is to another question: another aspect, another name, another unit."""

# ruff: noqa: ARG001, D103 - every plant has the same signature, and the name of its kind describes it
import random
import re

from benchmarks.corruptions.kinds import (
    UNSUPPORTED,
    WRONG,
    answered,
    asked,
    evidence,
    kind,
    one_more_call,
    result_of,
    results,
    says,
    single_call,
    tell,
    tell_items,
    tell_number,
)
from benchmarks.corruptions.phrases import facts_of, number_of, pair
from benchmarks.corruptions.pinned_code import Code, hits
from config.questions.general_knowledge import UNITS
from config.records import Trajectory


@kind("files asked, names given", WRONG, UNSUPPORTED)
def names_for_files(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "importers":
        return None
    names = [name for _, _, text in hits(evidence(t)) for name in re.findall(r"\w+", text.partition("import ")[2])]
    names = sorted({name for name in names if not name.islower() or "_" in name})
    return tell_items(t, names[:6], rng)


@kind("file asked, line of code given", WRONG, UNSUPPORTED)
def code_for_file(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    found = list(hits(evidence(t)))
    if t.category != "where_defined" or not found or facts_of(t.expect)[0] in t.prompt:
        return None
    text = found[0][2].rstrip(":")
    return answered(t, rng.choice((f"`{text}`", f"It is defined as `{text}`.", f"The definition is:\n\n    {text}:")))


@kind("names asked, files given", WRONG, UNSUPPORTED)
def files_for_names(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    paths = sorted({path for path, _, _ in hits(evidence(t))})
    return tell_items(t, paths, rng) if t.category == "subclasses" else None


@kind("subclasses asked, base given", WRONG, UNSUPPORTED)
def base_given(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "subclasses":
        return None
    name = asked(t).slots.get("name", "")
    bases = [b for b in code.bases.get(name, []) if b not in facts_of(t.expect)]
    child = facts_of(t.expect)[0]
    if not bases:
        others = [base for base in code.bases.get(child, []) if base != name]
        return tell_items(t, others[:1], rng)
    return tell_items(t, bases[:1], rng)


@kind("lines counted, given as files", WRONG, UNSUPPORTED)
def lines_as_files(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "count_files":
        return None
    pattern = rng.choice(("class ", "def ", "import ", "self"))
    arguments = {"pattern": pattern, "path": asked(t).slots.get("folder", "."), "glob": "*.py"}
    made = single_call(t, code.pinned, "count", arguments)  # type: ignore[arg-type]
    number = int(evidence(made).split()[0]) if made else 0
    return tell_number(made, number, rng) if made and number not in (0, number_of(t.expect)) else None


@kind("files counted, given as lines", WRONG, UNSUPPORTED)
def files_as_lines(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "count_matches":
        return None
    made = single_call(t, code.pinned, "count", {"pattern": asked(t).slots.get("name", "")})
    number = int(re.findall(r"\d+", evidence(made))[1]) if made else 0
    return tell_number(made, number, rng) if made and number not in (0, number_of(t.expect)) else None


@kind("whole project counted instead of the folder", WRONG, UNSUPPORTED)
def too_wide(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "count_files":
        return None
    made = single_call(t, code.pinned, "count", {"glob": "*.py"})
    return tell_number(made, int(evidence(made).split()[0]), rng) if made else None


@kind("value of another constant", WRONG, UNSUPPORTED)
def other_constant(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    found = list(hits(evidence(t)))
    if t.category != "constant" or not found or asked(t).category != "constant":
        return None
    made = single_call(t, code.pinned, "grep", {"pattern": "^[A-Z_]+ = ", "path": found[0][0]})
    wrong = [
        value
        for _, _, text in hits(evidence(made) if made else "")
        for name, value in [text.split(" = ", 1)]
        if name != asked(t).slots["name"]
        and re.fullmatch(r"[\w.-]+|'[^']+'", value)
        and _plain(value) not in map(_plain, (*facts_of(t.expect), str(number_of(t.expect))))
    ]
    return tell_items(made, [rng.choice(wrong).strip("'")], rng) if made and wrong else None


def _plain(value: str) -> str:
    """A value without quotes and without a fraction of zero: 4.0 is 4."""
    return value.strip("'").removesuffix(".0")


@kind("docstring of another function", WRONG, UNSUPPORTED)
def other_docstring(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "docstring":
        return None
    others = [facts_of(e)[0] for key, e in code.pinned.facts.items() if key[0] == "docstring" and e != t.expect]
    return tell_items(t, [rng.choice(others)], rng)


@kind("parameters of another function", WRONG, UNSUPPORTED)
def other_parameters(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "parameters":
        return None
    mine = set(facts_of(t.expect))
    others = [facts_of(e) for key, e in code.pinned.facts.items() if key[0] == "parameters"]
    others = [names for names in others if not mine & set(names) and not all(says(evidence(t), n) for n in names)]
    return tell_items(t, rng.choice(others), rng)


@kind("right number, wrong unit in the code", WRONG, UNSUPPORTED)
def wrong_noun(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    number = number_of(t.expect)
    if t.category not in ("count_files", "count_matches") or number is None or number < 2 or len(results(t)) > 1:
        return None
    slots = asked(t).slots
    if t.category == "count_files":
        nouns = ("lines", "directories", "functions", "classes")
        return answered(t, f"There are {number} {rng.choice(nouns)} under `{slots['folder']}`.")
    return answered(t, f"{number} {rng.choice(('files', 'classes', 'directories'))} contain `{slots['name']}`.")


@kind("pairs swapped", WRONG, UNSUPPORTED)
def swapped_pair(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if asked(t).category != "both_defined":
        return None
    first, second = facts_of(t.expect)
    if evidence(t).startswith(f"{first}:"):
        first, second = second, first
    return answered(t, pair(asked(t), first, second, rng))


@kind("conversion, right number with the wrong unit", WRONG, sets=("plain", "prose"), needs_expect=True)
def wrong_unit(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if t.category != "units" or t.tool_calls:
        return None
    slots, number = asked(t).slots, number_of(t.expect)
    units = [u.small for u in UNITS if u.small != slots["small"]]
    forms = ("{a} {large} are {n} {unit}.", "That is {n} {unit}.", "{n} {unit}", "In {unit}: {n}")
    return answered(
        t, rng.choice(forms).format(a=slots["amount"], large=slots["large"], n=number, unit=rng.choice(units))
    )


@kind("conversion with a wrong factor", WRONG, sets=("plain", "prose"), needs_expect=True)
def wrong_factor(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    number = number_of(t.expect)
    if t.category != "units" or t.tool_calls or number is None:
        return None
    slots, amount = asked(t).slots, int(asked(t).slots["amount"])
    wrong = rng.choice([n for n in (amount, number * 10, number + amount, amount * 100) if n != number])
    return answered(t, f"{amount} {slots['large']} are {wrong:,} {slots['small']}.")


@kind("arithmetic wrong by one or by ten", WRONG, sets=("plain", "prose"), needs_expect=True)
def wrong_sum(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    number = number_of(t.expect)
    if t.category != "arithmetic" or number is None:
        return None
    slots, wrong = asked(t).slots, number + rng.choice((1, -1, 10, -10))
    return answered(t, rng.choice((f"{slots['a']} {slots['operator']} {slots['b']} is {wrong}.", f"{wrong}")))


@kind("one of two parallel results ignored", WRONG, UNSUPPORTED, sets=("parallel",))
def half_told(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if asked(t).category == "both_defined":
        path = evidence(t).partition(":")[0]
        return answered(t, rng.choice((f"It is defined in `{path}`.", f"`{asked(t).slots['name']}` is in {path}.")))
    half = re.split(r" and |,\s+and |\n", t.answer)
    return answered(t, f"{half[0].rstrip(', ')}.") if asked(t).category == "" and len(half) == 2 else None


@kind("sum of two counts that do not belong together", WRONG, UNSUPPORTED, sets=("plain", "prose"))
def added_up(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place, number = result_of(t, "count"), number_of(t.expect)
    if place is None or number is None:
        return None
    tool, arguments = "count", {"pattern": rng.choice(("import", "class", "return"))}
    made = one_more_call(t, code, tool, arguments)  # type: ignore[arg-type]
    return tell(made, {"number": number + int(evidence(made).split("\n")[-1].split()[0])}, rng)
