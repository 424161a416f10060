"""The validated form of `expect`; config/questions/expected_facts.py describes its keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from config.did_you_mean import did_you_mean
from config.errors import UsageError
from config.questions.grading.names import NOUNS
from config.questions.grading.paths import Place
from config.questions.grading.quantities import COUNTED, noun_of
from config.records import JsonObject

LISTS: Final = ("contains", "any", "absent", "names", "parameters", "paths", "about")
TEXTS: Final = ("unit", "counts", "kind", "root", "folder", "file", "value", "sentence", "missing")
FACTS: Final = (
    *("contains", "any", "absent", "number", "names", "parameters", "paths", "file", "pairs", "value", "sentence"),
    *("missing", "no_call"),
)
NEEDS: Final = {  # key that only describes another -> the keys that it may describe
    "unit": ("number",),
    "counts": ("number",),
    "kind": ("names", "paths"),
    "root": ("paths", "file", "pairs"),
    "folder": ("paths",),
    "about": ("number", "names", "parameters", "paths", "value", "sentence"),
}
KEYS: Final = (*FACTS, *NEEDS)
KINDS: Final = ("importer", *NOUNS)


@dataclass(frozen=True)
class ExpectedFacts:
    """A validated `expect`."""

    contains: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    number: int | float | None = None
    unit: str | None = None
    counts: str | None = None
    names: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    paths: tuple[Place, ...] = ()
    file: Place | None = None
    pairs: Mapping[str, Place] = field(default_factory=dict)
    value: str | None = None
    sentence: str | None = None
    missing: str | None = None
    kind: str | None = None
    about: tuple[str, ...] = ()
    no_call: bool = False


def parse_expected(expect: JsonObject) -> ExpectedFacts:
    """Validate an `expect` object; UsageError describes what is invalid."""
    if not expect:
        raise UsageError(f"expect is empty; give at least one of {', '.join(FACTS)}, or remove it")
    for key in expect:
        if key not in KEYS:
            raise UsageError(f"expect has an unknown key {key!r}{did_you_mean(key, KEYS)}")
        if key in NEEDS and not any(fact in expect for fact in NEEDS[key]):
            raise UsageError(f"expect.{key} needs {' or '.join(NEEDS[key])} beside it; add that, or remove {key!r}")
    lists = {key: _texts(key, expect[key]) for key in LISTS if key in expect}
    texts = {key: _text(key, expect[key]) for key in TEXTS if key in expect}
    if texts.get("kind", KINDS[0]) not in KINDS:
        raise UsageError(f"expect.kind must be one of {', '.join(KINDS)}, not {texts['kind']!r}")
    if (counted := texts.get("counts")) is not None and noun_of(counted) is None:
        raise UsageError(f"expect.counts must be one of {', '.join(COUNTED)}, not {counted!r}")
    root, folder = texts.get("root"), texts.get("folder")
    return ExpectedFacts(
        contains=lists.get("contains", ()),
        any=lists.get("any", ()),
        absent=lists.get("absent", ()),
        number=_number(expect["number"]) if "number" in expect else None,
        unit=texts.get("unit"),
        counts=texts.get("counts"),
        names=lists.get("names", ()),
        parameters=lists.get("parameters", ()),
        paths=tuple(Place(path, root, folder) for path in lists.get("paths", ())),
        file=Place(texts["file"], root) if "file" in texts else None,
        pairs={name: Place(path, root) for name, path in _pairs(expect["pairs"]).items()} if "pairs" in expect else {},
        value=texts.get("value"),
        sentence=texts.get("sentence"),
        missing=texts.get("missing"),
        kind=texts.get("kind"),
        about=lists.get("about", ()),
        no_call=_no_call(expect["no_call"]) if "no_call" in expect else False,
    )


def _texts(key: str, value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"expect.{key} must be a list of strings with at least one item, not {value!r}")
    for item in value:
        if not isinstance(item, str) or not item.strip():
            raise UsageError(f"expect.{key} contains {item!r}; every item must be a non-empty string")
    return tuple(str(item) for item in value)


def _text(key: str, value: JsonValue) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"expect.{key} must be a non-empty string, not {value!r}")
    return value


def _number(value: JsonValue) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"expect.number must be a number, not {value!r}")
    return value


def _pairs(value: JsonValue) -> dict[str, str]:
    if not isinstance(value, dict) or not value or not all(isinstance(path, str) and path for path in value.values()):
        raise UsageError(f"expect.pairs must be an object of names and their paths, not {value!r}")
    return {name: str(path) for name, path in value.items()}


def _no_call(value: JsonValue) -> bool:
    if value is not True:
        raise UsageError(f"expect.no_call must be true, not {value!r}; remove it if calls are allowed")
    return True
