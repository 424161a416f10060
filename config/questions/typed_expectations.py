"""Builds the typed `expect` of each mined question from its facts, also from an `expect` in the older form."""

from collections.abc import Sequence

from config.questions.wording import GENERAL_FORMS, Question, parse
from config.records import JsonObject


def names(kind: str, found: Sequence[str], about: str) -> JsonObject:
    """All names of a kind that belong to what is asked about."""
    key = "parameters" if kind == "parameter" else "names"
    return {key: [*found], **({} if kind == "parameter" else {"kind": kind}), "about": [about]}


def paths(found: Sequence[str], *about: str, root: str | None, kind: str | None = None) -> JsonObject:
    """The files that define, or import, what is asked about."""
    return {"paths": [*found], **({"kind": kind} if kind else {}), "about": [*about], **_rooted(root)}


def folder_files(folder: str, found: Sequence[str], *, root: str | None) -> JsonObject:
    """All files of a directory, given by their paths."""
    return {"paths": [*found], "folder": folder, **_rooted(root)}


def file(path: str, *, root: str | None) -> JsonObject:
    """Where a file is."""
    return {"file": path, **_rooted(root)}


def pairs(found: dict[str, str], *, root: str | None) -> JsonObject:
    """Each name with the file that defines it."""
    return {"pairs": {**found}, **_rooted(root)}


def count(number: int, counts: str, about: Sequence[str]) -> JsonObject:
    """How many files or lines there are."""
    return {"number": number, "counts": counts, "about": [*about]}


def value(found: int | float | bool | str, about: str) -> JsonObject:
    """The value of a constant."""
    if isinstance(found, int | float) and not isinstance(found, bool):
        return {"number": found, "about": [about]}
    return {"value": str(found), "about": [about]}


def missing(name: str) -> JsonObject:
    """That nothing has this name."""
    return {"missing": name}


def sentence(found: str, about: str) -> JsonObject:
    """What the docstring of a function says."""
    return {"sentence": found, "about": [about]}


def _rooted(root: str | None) -> JsonObject:
    return {"root": root} if root else {}


def typed(question: str, expect: JsonObject, *, root: str | None = None) -> JsonObject:
    """The typed form of an `expect` that was mined as {"contains": [...]}, {"any": [...]} or {"number": N}.

    `root` is the directory name of the workspace. What was not mined is returned as it is. The older form of
    both_defined has no assignment of names to paths, so that it stays a set of paths.
    """
    asked = parse(question)
    if asked is None or not set(expect) <= {"contains", "any", "number"}:
        return expect
    items = [str(item) for item in found] if isinstance(found := expect.get("contains"), list) else []
    number = expect.get("number")
    if asked.category in GENERAL_FORMS:
        unit: JsonObject = {"unit": asked.slots["small"]} if asked.category == "units" else {}
        return {"number": number, **unit, "no_call": True} if isinstance(number, int) else {"no_call": True}
    if isinstance(number, int):
        return _typed_number(asked, number)
    return _typed_items(asked, items, root) if items else expect


def _typed_number(asked: Question, number: int) -> JsonObject:
    slots = asked.slots
    if asked.category == "count_files":
        return count(number, "files", [slots["folder"]])
    if asked.category == "count_matches":
        return count(number, "lines", [slots["path"], slots["name"]])
    return value(number, slots["name"])


def _typed_items(asked: Question, items: list[str], root: str | None) -> JsonObject:
    kinds = {"subclasses": "subclass", "contents": "definition", "decorators": "decorator", "parameters": "parameter"}
    slots = asked.slots
    if kind := kinds.get(asked.category):
        return names(kind, items, slots["path"] if kind == "definition" else slots["name"])
    if asked.category == "importers":
        return paths(items, slots["module"], root=root, kind="importer")
    if asked.category == "where_defined":
        return paths(items, slots["name"], root=root)
    if asked.category == "folder_files":
        return folder_files(slots["folder"], [f"{slots['folder']}/{name}" for name in items], root=root)
    if asked.category == "find_file":
        return file(items[0], root=root)
    if asked.category == "both_defined":
        return paths(items, slots["name"], slots["other"], root=root)
    if asked.category == "docstring":
        return sentence(items[0], slots["name"])
    return value(_literal(items[0]), slots["name"])


def _literal(written: str) -> float | str:
    try:
        return float(written)
    except ValueError:
        return written
