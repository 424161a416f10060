"""The sound set of honest "not found" answers: every search came back empty, or shows only a similar name."""

import random
from collections.abc import Iterator

from benchmarks.corruptions.phrases import choose, deny, wordings
from benchmarks.corruptions.pinned_code import Code, hits
from benchmarks.corruptions.sound_sets import recorded
from benchmarks.sound import Recorder
from config.questions.wording import Question, render
from config.records import JsonObject, Prompt

FIRST = ("Remote", "Cached", "Strict", "Async", "Merged", "Local", "Nested", "Plugin", "Signed", "Typed")
SECOND = ("Ledger", "Walker", "Shuffler", "Envelope", "Beacon", "Compactor", "Quota", "Turnstile", "Mirror", "Pager")
MODULES = ("numpy", "pandas.io", "scrapy", "flask.views", "twisted.web", "zope.interface", "lxml.etree", "tornado.web")


def not_found(code: Code, count: int, seed: int) -> Iterator:
    """`count` trajectories without an `expect`: nobody mines a question about what is not there."""
    rng = random.Random(seed)
    asked: set[str] = set()
    while len(asked) < count:
        question = _question(code, rng)
        form = rng.randrange(4)
        if question is None or (prompt := render(question, form)) in asked:
            continue
        asked.add(prompt)
        talk = Recorder(prompt, code.pinned.tools)
        results, near = _search(code, talk, question, rng)
        if any(_hit(result) for result in results) != (near is not None):
            asked.remove(prompt)
            continue
        talk.answer(_answer(question, results, near, rng))
        yield recorded(code, Prompt(prompt=prompt, category=question.category), talk, f"notfound/{len(asked):04d}")


def _question(code: Code, rng: random.Random) -> Question | None:
    category = rng.choice(
        ("where_defined",) * 6 + ("constant", "find_file", "subclasses", "importers", "count_matches")
    )
    new = f"{rng.choice(FIRST)}{rng.choice(SECOND)}"
    snake = f"{rng.choice(FIRST)}_{rng.choice(SECOND)}".lower()
    if category == "where_defined":
        real = rng.choice(code.names)
        if rng.random() < 0.25 and len(real) > 8:
            kind = "class" if real[0].isupper() else "function"
            return Question(category, {"kind": kind, "name": f"{real}s"})  # a near miss of a real name
        kind = rng.choice(("class", "function"))
        return Question(category, {"kind": kind, "name": new if kind == "class" else snake})
    if category == "subclasses":
        leaf = [n for n in code.bases if not any(n in bases for bases in code.bases.values())]
        return Question(category, {"name": rng.choice(leaf)})
    slots = {
        "constant": {"name": snake.upper()},
        "find_file": {"file": f"{snake}.py"},
        "importers": {"module": rng.choice(MODULES)},
        "count_matches": {"name": new, "path": rng.choice(code.paths)},
    }[category]
    return Question(category, slots)


def _search(code: Code, talk: Recorder, question: Question, rng: random.Random) -> tuple[list[str], tuple | None]:
    slots, category = question.slots, question.category
    calls: dict[str, tuple[str, JsonObject]] = {
        "constant": ("grep", {"pattern": f"^{slots.get('name')} = "}),
        "find_file": ("find_files", {"glob": slots.get("file", "")}),
        "subclasses": ("grep", {"pattern": f"^class .*[(, ]{slots.get('name')}[,)]"}),
        "importers": ("grep", {"pattern": f"^(from|import) {slots.get('module')}( |$)", "glob": "*.py"}),
        "count_matches": ("count", {"pattern": slots.get("name", ""), "path": slots.get("path", ".")}),
    }
    if category != "where_defined":
        return talk.call(calls[category]), None
    word = "class" if slots["kind"] == "class" else "def"
    results = talk.call(("grep", {"pattern": f"{word} {slots['name']}[(:]"}), text=rng.choice(("", "I'll search.")))
    if rng.random() < 0.3:  # a second look, with less of a pattern
        results += talk.call(("grep", {"pattern": slots["name"], "glob": "*.py"}))
    stem = slots["name"].removesuffix("s")
    if stem in code.pinned.mined.by_name:
        results += talk.call(("grep", {"pattern": f"(class|def) {stem}[(:]"}))
        found = next(hits(results[-1]), None)
        return results, (stem, found[0]) if found else None
    return results, None


def _hit(result: str) -> bool:
    return next(hits(result), None) is not None


def _answer(question: Question, results: list[str], near: tuple | None, rng: random.Random) -> str:
    searched = next((word for word in results[0].split() if word.isdigit()), "all")
    if question.category == "where_defined":
        key = "not found near" if near else "not found"
        name, path = near or ("", "")
        return choose(key, rng, **question.slots, n=searched, near=name, path=path)
    if question.category in ("constant", "subclasses", "importers") and rng.random() < 0.3:
        return f"{deny(question, rng)} {rng.choice(wordings('none for name')).format(n=searched)}"
    return deny(question, rng)
