"""Whether a search that found nothing would have found what the answer denies.

"No classes inherit from Base." needs a search that matches `class Child(Base):`. A search for a misspelt name, in
another file, or for something else that found nothing does not show it.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from fnmatch import fnmatchcase

from worker.curate.checks.support.answer import PATH, stands_whole
from worker.curate.checks.support.asked import Asked
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.results import Result, plain_path
from worker.tools.patterns import RefusedError, compiled

WORD = re.compile(r"[A-Za-z_]\w{2,}")
PLAIN_CHARS = 4  # "shut" of "How does it shut down?" is searched as "shutdown"
NEAR = 0.8
COMMON = frozenset({"class", "def", "import", "from", "self", "grep", "count", "read_file", "find_files", "list_dir"})
ESCAPE = re.compile(r"\\[A-Za-z]")
# Lines that would answer the question if they were in the code. A search that matches any of them counts.
CLASS_LINES = ("class {name}:", "class {name}(Base):")
FUNCTION_LINES = ("def {name}(self):", "    def {name}(self):", "async def {name}(")
SUBCLASS_LINES = ("class Child({name}):", "class Child(Other, {name}):", "class Child(module.{name}):")
IMPORT_LINES = (
    "import {name}",
    "from {name} import thing",
    "import {name} as other",
    "    import {name}",
    "    from {name} import thing",
    "from {parent} import {last}",
)
CONSTANT_LINES = ("{name} = 1", "{name}: int = 1", "    {name} = 1", "{name} = 'a'", '{name} = "a"')
CONTENT_LINES = ("class Thing:", "class Thing(Base):", "def thing():", "def thing(self):")
LINES: Mapping[str, Sequence[str]] = {
    "subclasses": SUBCLASS_LINES,
    "importers": IMPORT_LINES,
    "parameters": FUNCTION_LINES,
    "decorators": FUNCTION_LINES,
    "docstring": FUNCTION_LINES,
    "constant": CONSTANT_LINES,
    "count_matches": ("{name}", "x {name} y", "x.{name}("),
}
OF_A_FILE = frozenset({"contents", "count_matches"})  # questions about one file, named in the slot `path`


def would_have_found(query: Asked | None, evidence: Evidence) -> bool:
    """Whether the searches and listings of the trajectory would have shown what the question asks for."""
    if query is None and _reports_its_search(evidence):
        return True
    return all(
        any(_covers(query, lines, result, evidence) for result in evidence.results) for lines in _would_answer(query)
    )


def _covers(query: Asked | None, lines: Sequence[str], result: Result, evidence: Evidence) -> bool:
    if result.call is None or not isinstance(result.call.arguments, dict):
        return True  # a foreign trajectory: what was searched is not known
    pattern, glob = result.argument("pattern"), result.argument("glob")
    if query is None or not query.exact or result.call.name not in ("grep", "count"):
        return _shares_a_word(evidence, result.arguments)
    if result.message.is_error:
        misspelt = query.category in OF_A_FILE and PATH.fullmatch(result.path) and not _is_at_file(query, result)
        return not misspelt and _shares_a_word(evidence, result.path)
    if query.category in ("find_file", "folder_files", "count_files"):
        return not pattern and query.subject in f"{result.path}/{glob}"
    return _covers_path(query, result) and _matches_any(pattern, lines)


def _would_answer(query: Asked | None) -> list[list[str]]:
    """Groups of lines. A denial needs, for each group, a search that matches one of its lines."""
    if query is None:
        return [[]]
    slots = query.question.slots
    name = slots.get("name") or slots.get("module") or ""
    if query.category == "both_defined":  # a name with a capital is a class
        return [
            _filled(CLASS_LINES if each.lstrip("_")[:1].isupper() else FUNCTION_LINES, each) for each in slots.values()
        ]
    if query.category == "where_defined":
        return [_filled(CLASS_LINES if slots["kind"] == "class" else FUNCTION_LINES, name)]
    if query.category == "contents":
        return [_filled(CONTENT_LINES[:2], ""), _filled(CONTENT_LINES[2:], "")]
    return [_filled(LINES.get(query.category, ()), name)]


def _filled(forms: Sequence[str], name: str) -> list[str]:
    parent, _, last = name.rpartition(".")
    return [form.format(name=name, parent=parent, last=last) for form in forms]


def _covers_path(query: Asked, result: Result) -> bool:
    """Whether the search looked at the file of the question, or at more than a single other file."""
    glob = result.argument("glob")
    if glob and not re.search(r"[*?]\W*(?:\w*py\w*)?$|\.py", glob):
        return False
    if query.category in OF_A_FILE:
        file = plain_path(query.question.slots["path"])
        named = bool(glob) and fnmatchcase(file.rpartition("/")[2], glob) and "*" not in glob[:1]
        return _is_at_file(query, result) or named
    return not PATH.fullmatch(result.path) or result.path.lower() in query_text(query)


def _is_at_file(query: Asked, result: Result) -> bool:
    """Whether the call looked at the file of the question: the same path, or the end of it or of the other."""
    file = plain_path(query.question.slots["path"])
    return f"/{result.path}".endswith(f"/{file}") or f"/{file}".endswith(f"/{result.path}")


def query_text(query: Asked) -> str:
    """All slots of the question in lower case."""
    return " ".join(query.question.slots.values()).lower()


def _matches_any(pattern: str, lines: Sequence[str]) -> bool:
    try:
        search = compiled(pattern)
    except RefusedError:
        return False
    return any(search.search(line.encode()) is not None for line in lines)


def _shares_a_word(evidence: Evidence, arguments: str) -> bool:
    """Whether the arguments hold a name of the question, or a part of one, or a plain word of it within a name."""
    words = set(WORD.findall(ESCAPE.sub(" ", arguments).lower()))
    asked_words = set(WORD.findall(evidence.question))
    plain = {word for word in asked_words if len(word) >= PLAIN_CHARS and word.isalpha()}
    return not words or any(
        any(word in whole for whole in asked_words) or any(part in word for part in plain - _near(word, plain))
        for word in words
    )


def _reports_its_search(evidence: Evidence) -> bool:
    """Whether the answer names what was searched, not misspelt: its denial is then true of the search."""
    answer, asked_words = evidence.trajectory.answer.lower(), set(WORD.findall(evidence.question))
    searched = set(WORD.findall(ESCAPE.sub(" ", evidence.arguments)))
    return any(stands_whole(word, answer) and not _near(word, asked_words) for word in searched - COMMON)


def _near(word: str, others: set[str]) -> set[str]:
    """Those of which the word is a misspelling."""
    ratios = ((other, SequenceMatcher(None, word, other, autojunk=False).ratio()) for other in others if other != word)
    return {other for other, ratio in ratios if ratio >= NEAR}
