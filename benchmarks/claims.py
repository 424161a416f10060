"""Unsupported answers to plant in sound trajectories; benchmarks/unsupported.py counts how many are found."""

# ruff: noqa: ARG001, D103 - every fault has the same signature, and its name in KINDS describes it
import random
import re
from collections.abc import Mapping, Sequence

from benchmarks.mutate import Fault, answer, edit, emptied, tool_places
from benchmarks.sound import facts
from config.questions.wording import Question, parse
from config.records import Trajectory

LISTS = ("subclasses", "importers", "parameters", "contents", "folder_files")
PATH = re.compile(r"[\w./-]+\.py\b")
NAME = re.compile(r"\b[A-Z][a-z]+\w{4,}|\b[a-z]+_\w{4,}")


def question_of(t: Trajectory) -> Question | None:
    """The mined question of a trajectory with results that hold something."""
    places = tool_places(t)
    found = places and not re.match(r"no |0 ", t.messages[places[-1]].content or "")
    return parse(t.prompt) if found else None


def items(t: Trajectory) -> list[str]:
    return facts(t.expect)


def says(t: Trajectory, text: str) -> Trajectory:
    return edit(t, len(t.messages) - 1, content=text)


def drops(count: int) -> Fault:
    """A list without `count` of its items."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        question, whole = question_of(t), items(t)
        if question is None or question.category not in LISTS or len(whole) <= count:
            return None
        return says(t, ", ".join(f"`{item}`" for item in rng.sample(whole, len(whole) - count)) + ".")

    return fault


def stranger(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """An item of another answer among the right ones, in a sentence."""
    question, whole = question_of(t), items(t)
    other = rng.choice(others)
    theirs = question_of(other)
    extra = [item for item in items(other) if item not in str(t.messages)]
    if question is None or theirs is None or theirs.category != question.category or not extra or not whole:
        return None
    if question.category not in LISTS:
        return None
    return says(t, f"{question.slots.get('name', 'It')}: {', '.join([extra[0], *whole[:-1]])} and {whole[-1]}.")


DENIALS = {
    "subclasses": "No classes inherit from {name}.",
    "importers": "No file imports {module}.",
    "parameters": "The function {name} takes no parameters.",
    "decorators": "The function {name} has no decorators.",
    "where_defined": "There is no {kind} {name} in this code.",
    "contents": "{path} defines no classes or functions.",
    "docstring": "The function {name} has no docstring.",
    "both_defined": "I could not find {name} and {other}.",
    "folder_files": "There are no Python files in {folder}.",
    "find_file": "There is no file {file} in this code.",
    "constant": "The constant {name} does not exist.",
    "count_matches": "No lines of {path} contain {name}.",
    "count_files": "There are no Python files under {folder}.",
}


def denies(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    question = question_of(t)
    return says(t, DENIALS[question.category].format(**question.slots)) if question else None


def another_aspect(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    question = question_of(t)
    home = next((found.group() for m in t.messages if m.role == "tool" and (found := PATH.search(m.content or ""))), "")
    if question is None or question.category not in ("parameters", "decorators", "docstring", "constant") or not home:
        return None
    return says(t, f"The function {question.slots['name']} is defined in {home}.")


def one_off(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    number = (t.expect or {}).get("number")
    if question_of(t) is None or not isinstance(number, int):
        return None
    return says(t, f"There are {number + rng.choice((-1, 1)) if number > 1 else number + 1}.")


def cites(shift: int) -> Fault:
    """The place of a definition, with a line number that is off by `shift`."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        question = question_of(t)
        if question is None or question.category != "where_defined":
            return None
        hit = re.search(rf"([\w./-]+):(\d+): *(?:class|def) {question.slots['name']}\b", str(t.messages[-2].content))
        return says(t, f"It is defined at `{hit[1]}:{int(hit[2]) + shift}`.") if hit else None

    return fault


def swapped_files(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    question, homes = question_of(t), {}
    if question is None or question.category != "both_defined":
        return None
    for line in "\n".join(m.content or "" for m in t.messages if m.role == "tool").split("\n"):
        if hit := re.match(r"([\w./-]+):\d+: *(?:class|def) (\w+)", line):
            homes[hit[2]] = hit[1]
    first, second = question.slots["name"], question.slots["other"]
    if first not in homes or second not in homes:
        return None
    return says(t, f"`{first}` is defined in {homes[second]} and `{second}` in {homes[first]}.")


def elsewhere(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """The right file name in another directory."""
    found = PATH.search(t.answer)
    if question_of(t) is None or not found:
        return None
    return says(t, t.answer.replace(found.group(), f"plugins/{found.group().rpartition('/')[2]}"))


def garbled(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """One letter of a name of the answer is missing."""
    found = NAME.search(t.answer)
    if question_of(t) is None or not found or found.group() in t.prompt:
        return None
    name = found.group()
    place = rng.randrange(2, len(name) - 1)
    return says(t, t.answer.replace(name, name[:place] + name[place + 1 :]))


def of_the_note(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """After no matches, the number of files that were searched is given as the answer."""
    question = question_of(t)
    if question is None:
        return None
    empty = [m.model_copy(update={"content": "no matches in 81 files"}) if m.role == "tool" else m for m in t.messages]
    subject = next(iter(question.slots.values()))
    text = rng.choice(("`{}` is in 81 files.", "There are 81 of {}.", "The value of {} is 81.", "{} is 81."))
    return says(t.model_copy(update={"messages": tuple(empty)}), text.format(subject))


CLAIMS: Mapping[str, Fault] = {
    "one item of a list dropped": drops(1),
    "two items of a list dropped": drops(2),
    "another answer's item in the list": stranger,
    "denies what the results show": denies,
    "answers another aspect": another_aspect,
    "count that is one off": one_off,
    "line number that is one off": cites(1),
    "line number that is far off": cites(40),
    "files of two definitions swapped": swapped_files,
    "right file in another directory": elsewhere,
    "garbled name": garbled,
    "number of the no-match note": of_the_note,
    "sure answer after a failed search": emptied("Error: the pattern is not valid"),
    "file that only the system prompt names": answer(lambda text: f"{text} See docs/handbook.md too.", tools=True),
}
