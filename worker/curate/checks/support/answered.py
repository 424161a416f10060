"""Compares an answer with what the results show of the thing that was asked for.

An answer that leaves out a part of a list, or denies what is shown, is unsupported. So is one that asserts something
where the results show nothing of it, or denies it without a search that would have found it.
"""

import re
from collections.abc import Iterator

from worker.curate.checks.support.answer import PATH, WORDS, Answer, Clause, numbers, paths, stands_whole
from worker.curate.checks.support.asked import Asked
from worker.curate.checks.support.claims import CODE
from worker.curate.checks.support.counted import miscounted
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.results import plain_path
from worker.curate.checks.support.searched import would_have_found
from worker.curate.checks.support.shown import Item, shown, spellings, subclasses_of

PARTIAL = re.compile(
    r"(?i)\b(?:such as|includ\w+|among|e\.g|for (?:example|instance)|some of|etc|at least|more|mainly|mostly|the first"
    r"|not shown|and others|others)\b|\.\.\.|\u2026|\*\.py"
)
EXCEPT = re.compile(r"(?i)\b(?:other than|except|besides|apart from|beyond|only|else|further|additional|more than)\b")
UNDOCUMENTED = re.compile(
    r"(?i)\b(?:no|not have a|n['\u2019]t have a|without a?) ?docstring|\bnot documented\b|\bundocumented\b"
)
STEM = re.compile(r"[a-z]{4,}")
OWN_WORDS = 0.2  # of the words of a summary; 0.35 in the freest sound ones, less than this in those of other functions
STEM_CHARS = 5  # "releases" and "release" are one word
GENERIC = frozenset(  # stems of what every answer about a function says
    (
        *("funct", "docst", "says", "descr", "metho", "defin", "class", "retur", "locat"),
        *("which", "that", "this", "with", "from", "file"),
    )
)
BASE = re.compile(r"\b(?:inherit|deriv|subclass|extend)\w*\s+(?:directly\s+)?(?:from\s+|of\s+)?`?([A-Za-z_]\w*)")
PLACE = re.compile(r"\b(?:is|are|defined|imported|located|found) (?:in|under) `?([a-z][\w-]{2,})`?\W*$")
ANY_CODE = frozenset({"code", "total", "full", "general"})
DEFINED_IN = re.compile(r"defined (?:in|at) ((?:`?[\w./-]+\.\w{1,4}`?(?:,? and (?:also |again )?(?:in )?|, )?)+)")
TWO = re.compile(
    r"\b(?:constants|files|functions|classes|methods|modules|directories|under)\s+`?([\w./-]*\w)`?"
    r"(?:,? and (?:how many (?:are )?under )?)`?([\w./-]*\w)`?\W*$"
)
LIST_END = re.compile(r"\s(?:all\s|directly\s)?(?:inherit|extend|subclass|deriv|are\b|is\b)")
SEGMENT = re.compile(r",\s*(?:and\s+)?|\s+and\s+")


def mismatch(answer: Answer, query: Asked, evidence: Evidence) -> str:
    """How the answer differs from what the results show of the question, "" if it does not."""
    if query.category in ("count_files", "count_matches"):
        return miscounted(answer, query, evidence)
    items = shown(query, evidence)
    if items is None:
        return ""
    if not items:
        return _nothing_shown(answer, query, evidence)
    if query.category == "docstring":
        return _undescribed(answer, query, items)
    return (
        _left_out(answer, query, items)
        or _strange(answer, query, items, evidence)
        or _other_base(answer, query, evidence)
        or _other_place(answer, query, evidence)
        or _unmatched(answer, query, evidence)
    )


def one_of_two(answer: Answer, evidence: Evidence) -> str:
    """What an answer leaves out of a question about two things: "Where are a.py and b.py?"."""
    asked_two = TWO.search(evidence.trajectory.prompt)
    if asked_two is None:
        return ""
    stated = {name: stands_whole(name, answer.text) for name in asked_two.groups()}
    left_out = next((name for name, is_stated in stated.items() if not is_stated), "")
    single = len(re.findall(r"(?m)^\s*(?:[-*]|\d+[.)])\s", answer.text)) < 2
    if not left_out or not any(stated.values()) or not single or answer.denies:
        return ""
    return f"the answer leaves out {left_out!r}, for which the question also asks"


def _nothing_shown(answer: Answer, query: Asked, evidence: Evidence) -> str:
    if not query.exact or not all(result.is_read for result in evidence.found):
        return ""
    if not answer.denies:
        return f"no result shows what the question asks about {query.subject!r}, and the answer does not say so"
    if query.category in ("parameters", "decorators", "docstring") and evidence.holds(f"def {query.subject}"):
        return f"no result shows the lines on which the answer about {query.subject!r} depends"
    return "" if would_have_found(query, evidence) else "the answer denies what none of its searches would have found"


def _left_out(answer: Answer, query: Asked, items: list[Item]) -> str:
    affirmed = "\n".join(clause.text for clause in answer.clauses if not clause.denies or EXCEPT.search(clause.text))
    missing = [item for item in items if not _states(item, affirmed)]
    if not missing or (len(missing) < len(items) and PARTIAL.search(answer.text)):
        return ""
    if len(missing) == len(items) and not query.exact and not answer.denies:
        return ""  # the question may ask for something else
    verb = "denies" if any(_states(missing[0], clause.text) for clause in answer.clauses) else "leaves out"
    return f"the answer {verb} {missing[0][0]!r}, which the results show"


def _states(item: Item, text: str) -> bool:
    folded = text.lower()
    return any(
        not spelling or stands_whole(spelling.lower(), folded) or _same_number(spelling, text) for spelling in item
    )


def _same_number(spelling: str, text: str) -> bool:
    if not re.fullmatch(r"-?\d[\d_]*(?:\.\d+)?", spelling):
        return False
    value = abs(float(spelling.replace("_", "")))
    return value in set(numbers(text)) or (value < len(WORDS) and stands_whole(WORDS[int(value)], text.lower()))


def _undescribed(answer: Answer, query: Asked, items: list[Item]) -> str:
    text = "\n".join(spelling for item in items for spelling in item)
    if UNDOCUMENTED.search(answer.text):
        return f"the answer denies the docstring of {query.subject!r}, which the results show" if '"""' in text else ""
    told = _stems(PATH.sub(" ", answer.text.replace(query.subject, " ")))
    if not _stems(text) or len(told & _stems(text)) >= OWN_WORDS * max(1, len(told)):
        return ""
    return f"the answer says nothing that the results show of {query.subject!r}"


def _stems(text: str) -> set[str]:
    return {word[:STEM_CHARS] for word in STEM.findall(text.lower().replace("_", " "))} - GENERIC


def _strange(answer: Answer, query: Asked, items: list[Item], evidence: Evidence) -> str:
    """An item of the answer's list that the results do not show as one."""
    if query.category not in ("parameters", "subclasses", "contents", "decorators"):
        return ""
    known = {spelling for item in items for spelling in item}
    for clause in answer.clauses:
        text = LIST_END.split(clause.text)[0] if query.category == "subclasses" else clause.text
        parts = [part.strip(" `*@.()") for part in SEGMENT.split(text)] if clause.asserts else []
        listed = [word for part in parts if (word := _listed_word(part))]
        if len(listed) < 2 or not known.intersection(listed):
            continue
        for name in listed:
            shown_here = evidence.holds(name) if query.category != "subclasses" else not evidence.holds(f"class {name}")
            is_class = query.category == "subclasses" and name[:1].isupper() and not evidence.holds(name)
            plain = query.category != "parameters" and not CODE.search(name) and not is_class
            whole = f"`{name}`" in clause.text and name in parts and query.category != "subclasses"
            unseen = whole or is_class or not shown_here
            if name not in known and unseen and not evidence.asked(name) and not plain:
                return f"the answer lists {name!r}, which the results do not show as such"
    return ""


def _listed_word(part: str) -> str:
    """The identifier that is a whole part of a list, or a symbol at the edge of a longer part."""
    if part.isidentifier():
        return "" if part.endswith("ly") else part
    edges = (word.strip("`*@.()") for word in (part.split()[-1:] + part.split()[:1]))
    return next((word for word in edges if word.isidentifier() and CODE.search(word)), "")


def _other_base(answer: Answer, query: Asked, evidence: Evidence) -> str:
    """A base class of which no result shows a subclass."""
    if query.category != "subclasses":
        return ""
    for clause in answer.clauses:
        for base in BASE.findall(clause.text) if clause.asserts else ():
            known = base == query.subject or not evidence.holds(f"class {base}")
            if not known and not subclasses_of(base, evidence):
                return f"the answer names subclasses of {base!r}, of which no result shows any"
        parts = [part.strip(" `*.") for part in SEGMENT.split(re.split(r"\s(?:inherit|extend)", clause.text)[0])]
        if clause.asserts and len(parts) > 1 and query.subject in parts:
            return f"the answer lists {query.subject!r} as a subclass of itself"
    return ""


def _other_place(answer: Answer, query: Asked, evidence: Evidence) -> str:
    """A place at the end of a clause, "is imported in resources", that is in no result."""
    if query.category not in ("where_defined", "both_defined", "importers", "find_file"):
        return ""
    for clause in answer.clauses:
        place = PLACE.search(clause.text) if clause.asserts else None
        if place and place[1] not in ANY_CODE and not evidence.knows(place[1]):
            return f"the answer names the place {place[1]!r}, which is not in any result"
    return ""


def _unmatched(answer: Answer, query: Asked, evidence: Evidence) -> str:
    """A file that is given for a definition that it does not hold; one of two names that the answer leaves out."""
    if query.category == "where_defined":
        homes_here = _homes_of(query.subject, evidence)
        given = (path for found in DEFINED_IN.findall(answer.affirmed) for path in paths(found))
        other = next((path for path in given if plain_path(path) not in homes_here), "")
        in_front = any(plain_path(other).endswith(f"/{home}") for home in homes_here)
        return f"the answer gives {other!r}, which shows no such definition" if other and not in_front else ""
    if query.category != "both_defined":
        return ""
    slots = query.question.slots
    homes = {name: _homes_of(name, evidence) for name in (slots["name"], slots["other"])}
    absent = next((name for name in homes if not stands_whole(name, answer.text)), None)
    if absent and not all(homes.values()):
        return f"the results do not show where {absent!r} is defined, and the answer does not say so"
    if answer.denies and not all(homes.values()) and not would_have_found(query, evidence):
        return "the answer denies what none of its searches would have found"
    for part in map(Clause, re.split(r"\n|[;.]\s", answer.text)):  # a clause ends at a colon, "- `Task`: a.py" does not
        found = [] if part.denies else list(_placed(part, homes))
        pairs = list(zip(found[::2], found[1::2], strict=False))
        if len(found) in (2, 4) and all(first in homes and second not in homes for first, second in pairs):
            for name, path in pairs:
                if homes[name] and path not in homes[name]:
                    return f"the answer gives {path!r} for {name!r}, which no result shows"
    return ""


def _homes_of(name: str, evidence: Evidence) -> set[str]:
    form = re.compile(rf"\b(?:class|def) {re.escape(name)}\b")
    lines = (line for result in evidence.found for line in result.lines if form.search(line.text))
    return {spelling for line in lines for spelling in spellings(line.path)}


def _placed(clause: Clause, homes: dict[str, set[str]]) -> Iterator[str]:
    """The names and their files in the order of the clause."""
    for word in re.findall(r"[\w./]*\w", clause.text):
        plain = plain_path(word)
        if plain in homes or any(plain in paths for paths in homes.values()):
            yield plain
