"""Grades a complete set of names, and the parameters of a function."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from config.questions.grading.clauses import CODE, NOT_DENYING, Clause, about_something_else, clauses, whole
from config.questions.grading.lists import PLAIN, enumerations, rows
from config.questions.grading.quantities import noun_of, quantities

NOUNS: Final = {  # kind of name -> words for it
    "subclass": ("class", "classes", "subclass", "subclasses"),
    "definition": ("class", "classes", "function", "functions", "definition", "definitions"),
    "decorator": ("decorator", "decorators"),
    "parameter": ("parameter", "parameters", "argument", "arguments"),
    "file": ("file", "files", "module", "modules"),
}
INHERITS: Final = re.compile(
    r"(?i)\b(?:inherits?(?:\s+directly)?\s+from|inherit(?:s|ing)?\s+from|extends?|subclass(?:es)?\s+of|derives?\s+from|derived\s+from)\s+"
    r"(?:the\s+)?(?:class\s+)?[`'\"]*([A-Za-z_][\w.]*\w)"
)
SHOWN: Final = 4  # names in a fault


def names_faults(expected: Sequence[str], kind: str | None, about: Sequence[str], text: str) -> list[str]:
    """What is missing from, or wrong in, the names that the cleaned answer lists; [] if they are the expected ones."""
    if fault := denies_all(kind, about, expected, text) or _reversed(kind, about, expected, text):
        return [fault]
    stated = {name for name in expected if _is_stated(name, expected, about, text)}
    missing = [name for name in expected if name not in stated]
    if missing:
        return [recall_fault(expected, missing)]
    listed = (*_listed_with(expected, text), *(_subclasses(about, text) if kind == "subclass" else ()))
    exempt = () if kind == "subclass" else about  # a class is not a subclass of itself
    added = [name for name in dict.fromkeys(listed) if not _is_expected(name, (*expected, *exempt))]
    if added:
        return [f"adds {_few(added)}"]
    return _count_faults(expected, kind, text)


def parameters_faults(expected: Sequence[str], about: Sequence[str], text: str) -> list[str]:
    """The same for parameters, which a signature may give: `def f(self, name: str, *, size=1, **options)`."""
    for name, parameters in _signatures(text):
        if parameters and (not about or name == about[0].rpartition(".")[2]):
            missing = [parameter for parameter in expected if parameter not in parameters]
            added = [parameter for parameter in parameters if parameter not in expected]
            if missing:
                return [recall_fault(expected, missing)]
            return [f"adds {_few(added)}"] if added else []
    return names_faults(expected, "parameter", about, text)


def recall_fault(expected: Sequence[str], missing: Sequence[str]) -> str:
    """What is missing from a set: "names 2 of 6; missing a, b"."""
    return f"names {len(expected) - len(missing)} of {len(expected)}; missing {_few(missing)}"


def _few(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def denies_all(kind: str | None, about: Sequence[str], expected: Sequence[str], text: str) -> str | None:
    """A denial that there is anything of the kind: "takes no parameters"."""
    nouns = "|".join(NOUNS.get(kind or "", ()))
    if not nouns:
        return None
    pattern = re.compile(rf"(?i)\bno\s+(?:such\s+|matching\s+|direct\s+|python\s+)?(?:{nouns})\b")
    for clause in clauses(text):
        exempt = [match.span() for match in NOT_DENYING.finditer(clause.text)]
        for match in pattern.finditer(clause.text):
            is_exempt = any(start <= match.start() < end for start, end in exempt)
            if not is_exempt and not about_something_else(clause, about, expected):
                return f"denies that there is any: {match.group()!r}"
    return None


def _reversed(kind: str | None, about: Sequence[str], expected: Sequence[str], text: str) -> str | None:
    """A subclass that is taken for the base: "FloatType inherits from FloatRange"."""
    if kind != "subclass" or not about:
        return None
    bases = [match[1] for match in INHERITS.finditer(text)]
    if bases and not any(_is_expected(base, about) for base in bases):
        wrong = next((base for base in bases if _is_expected(base, expected)), None)
        return f"takes {wrong} for the base, not {about[0]}" if wrong else None
    return None


def _subclasses(about: Sequence[str], text: str) -> Iterator[str]:
    """Names that some clause calls subclasses of what is asked about."""
    for clause in clauses(text):
        for match in INHERITS.finditer(clause.text):
            if _is_expected(match[1], about) and clause.asserts(*match.span(1)):
                before = clause.text[: match.start()]
                yield from (item.name for chain in enumerations(before) for item in chain if CODE.search(item.name))


def _is_stated(name: str, expected: Sequence[str], about: Sequence[str], text: str) -> bool:
    """Whether some clause about the question asserts the name."""
    if any(_is_expected(item.name, (name,)) for row in rows(text) for item in row):
        return True
    return any(
        clause.asserts(*match.span())
        for clause in clauses(text)
        for match in mentions(name, clause)
        if not about_something_else(clause, about, expected)
    )


def mentions(name: str, clause: Clause) -> list[re.Match[str]]:
    """Where the clause has the name, also with its module before it; the last part of a dotted name is enough."""
    return [match for form in {name, name.rpartition(".")[2]} for match in whole(form).finditer(clause.text)]


def _listed_with(expected: Sequence[str], text: str) -> list[str]:
    """All names of the lists that hold an expected name."""
    chains = [chain for clause in clauses(text) for chain in enumerations(clause.text)]
    found: list[str] = []
    for chain in (*chains, *rows(text)):
        if any(_is_expected(item.name, expected) for item in chain):
            found += [item.name for item in chain if item.name.lower() not in PLAIN and not noun_of(item.name)]
    return list(dict.fromkeys(found))


def _is_expected(name: str, expected: Sequence[str]) -> bool:
    return any(name == item or name.endswith(f".{item}") or item.endswith(f".{name}") for item in expected)


def _signatures(text: str) -> list[tuple[str, list[str]]]:
    """(function, parameters without self and cls) of each `name(...)` in the text."""
    found = []
    for match in re.finditer(r"([A-Za-z_]\w*)\(", text):
        if (inside := _inside_brackets(text, match.end())) is not None:
            parts = [re.match(r"\s*\*{0,2}([A-Za-z_]\w*)\s*(?:[:=].*)?$", part, re.DOTALL) for part in _parts(inside)]
            names = [part[1] for part in parts if part and part[1] not in ("self", "cls")]
            found.append((match[1], names))
    return found


def _inside_brackets(text: str, start: int) -> str | None:
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if not depth:
            return text[start:at]
    return None


def _parts(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _count_faults(expected: Sequence[str], kind: str | None, text: str) -> list[str]:
    """A stated number of names that is not theirs: "three classes: A and B"."""
    noun = noun_of(NOUNS["subclass"][0] if kind == "subclass" else "file") if kind in ("subclass", "file") else None
    counts = [int(quantity.value) for quantity in quantities(text) if noun and quantity.noun == noun]
    if len(counts) == 1 and counts[0] != len(expected):
        return [f"counts {counts[0]}, expected {len(expected)}"]
    return []
