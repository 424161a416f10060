"""Grades paths: where something is, the files of a list, and which name is in which file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from config.questions.grading.clauses import Clause, about_something_else, clauses, whole
from config.questions.grading.lists import Item, enumerations, rows
from config.questions.grading.names import denies_all, recall_fault

PATH: Final = re.compile(r"(?<![\w./-])(?:\.{0,2}/)?[A-Za-z_][\w-]*(?:[./][\w-]*\w)*/?(?=(?::\d+)*(?![\w/-]|\.\w|\())")
OTHER_RELATION: Final = re.compile(  # a second path has another part than the one asked for
    r"(?i)\b(?:us(?:e|es|ed|ing)|call\w*|(?:re-?)?export\w*|test\w*|referenc\w*|invok\w*|regist\w*|see|compare|unlike"
    r"|similar|alongside|via|inherit\w*|extend\w*|subclass\w*|overrid\w*|relative|next\s+to)\b"
)
IMPORTS: Final = re.compile(r"(?i)\bimport\w*|\bfrom\b")
DEFINES: Final = re.compile(r"(?i)\b(?:defin|declar|implement)\w*")
AT: Final = (
    r"(?i:\b(?:in|under|at|inside|within|is|directory|folder|package|to|of)\s+(?:the\s+)?(?:\w+\s+)?|^\s*|:\s*|\()"
)


@dataclass(frozen=True)
class Place:
    """An expected path. `root` is the workspace's directory name; with `folder`, paths in it may leave it out."""

    path: str
    root: str | None = None
    folder: str | None = None

    def is_named(self, token: str) -> bool:
        """Whether a token is this path: `app/base.py`, `./app/base.py`, `celery/app/base.py`, `celery.app.base`."""
        text = re.sub(r"^(?:\./)+", "", re.sub(r"(?::\d+)+$", "", token)).rstrip("/")
        written = [text]
        if "/" not in text and not text.endswith(".py"):
            written = [text.replace(".", "/")]
        return any(self._is(form, text) for text in written for form in self._forms("/" in text))

    def _forms(self, module: bool) -> Iterator[str]:
        shown = [self.path]
        if self.path.startswith("src/"):  # what Python imports begins below src
            shown.append(self.path.removeprefix("src/"))
        if self.folder and self.path.startswith(f"{self.folder}/"):
            shown.append(self.path.removeprefix(f"{self.folder}/"))
        for form in shown:
            yield form
            if module and not self.folder and form.endswith(".py"):
                yield form.removesuffix(".py").removesuffix("/__init__")

    def _is(self, form: str, text: str) -> bool:
        if text == form:
            return "/" in text or text.endswith(".py") or "." in self.path.rpartition("/")[2]
        prefix = text.removesuffix(f"/{form}")
        if prefix == text or (self.folder and form == self.path.removeprefix(f"{self.folder}/")):
            return False
        return prefix.rpartition("/")[2] == self.root if self.root else "/" in self.path

    @property
    def file(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]


def paths_faults(places: Sequence[Place], kind: str | None, about: Sequence[str], text: str) -> list[str]:
    """What is missing from, or wrong in, the paths that the cleaned answer gives; [] if they are the expected ones."""
    expected = [place.path for place in places]
    if fault := denies_all("file" if kind == "importer" else None, about, expected, text):
        return [fault]
    stated, added, foreign = _stated(places, kind, about, text)
    if denied := next((place.path for place in places if _is_denied(place, about, text)), None):
        return [f"denies {denied}"]
    missing = [place.path for place in places if place not in stated]
    if missing and foreign:
        return [f"is about {foreign!r}, not about {about[0]!r}"]
    if missing:
        one = len(places) == 1
        return [f"does not state {missing[0]}" if one else recall_fault(expected, missing)]
    return [f"adds {added[0]}"] if added else []


def file_faults(place: Place, text: str) -> list[str]:
    """The same for where a file is: its path, or its directory alone."""
    faults = paths_faults([place], None, (), text)
    folder = place.path.rpartition("/")[0]
    if not faults or not folder or not faults[0].startswith("does not state"):
        return faults
    others = [found.group() for found in PATH.finditer(text) if found.group().rpartition("/")[2] == place.file]
    if wrong := next(
        (other for other in others if "/" in other.removeprefix("./") and not place.is_named(other)), None
    ):
        return [f"states {wrong}, expected {place.path}"]
    names = {folder, f"{place.root}/{folder}"} if place.root else {folder}
    names |= {name.replace("/", ".") for name in names}
    for clause in clauses(text):
        for name in names:
            for match in re.finditer(rf"{AT}[`'\"]*(?P<name>(?:\./)?{re.escape(name)})/?(?![\w-]|[./]\w)", clause.text):
                lists = [
                    chain for chain in enumerations(clause.text) if any(i.start == match.start("name") for i in chain)
                ]
                if clause.asserts(*match.span("name")) and not any(len(chain) > 1 for chain in lists):
                    return []
    return [f"does not state the directory {folder}"]


def pairs_faults(pairs: Mapping[str, Place], text: str) -> list[str]:
    """What is wrong in the answer's assignment of names to paths."""
    found: dict[str, list[str]] = {name: [] for name in pairs}
    for sentence in _sentences(text):
        for name, token in _assigned(sentence, pairs):
            found[name].append(token)
    for name, place in pairs.items():
        tokens = found[name]
        if not tokens:
            return [f"does not state where {name} is"]
        if wrong := next((token for token in tokens if not place.is_named(token)), None):
            return [f"puts {name} in {wrong}, expected {place.path}"]
    return []


def _stated(
    places: Sequence[Place], kind: str | None, about: Sequence[str], text: str
) -> tuple[set[Place], list[str], str | None]:
    """(places asserted about the question, paths added to them, subject of a clause that names one for another)."""
    stated: set[Place] = set()
    added: list[str] = []
    foreign = None
    leads: list[Item] = [item for row in rows(text) for item in row]
    stated |= {place for place in places if any(place.is_named(item.name) for item in leads)}
    for row in rows(text):
        if any(place.is_named(item.name) for place in places for item in row):
            added += [item.name for item in row if _is_other(item.name, places, about)]
    for clause in clauses(text):
        tokens = list(PATH.finditer(clause.text))
        known = [token.group() for token in tokens if any(place.is_named(token.group()) for place in places)]
        if other := about_something_else(clause, about, [*known, *(name.rpartition("/")[2] for name in known)]):
            foreign = foreign or (other if known else None)
            continue
        for token in tokens:
            if not clause.asserts(*token.span()):
                continue
            if hit := next((place for place in places if place.is_named(token.group())), None):
                stated.add(hit)
            elif _is_other(token.group(), places, about) and not _is_aside(clause, token.start(), kind, about):
                added.append(token.group())
    return stated, added, foreign


def _is_denied(place: Place, about: Sequence[str], text: str) -> bool:
    """Whether a clause about the question says that it is not in this path."""
    return any(
        not about_something_else(clause, about, [token.group()])
        for clause in clauses(text)
        if clause.negations
        for token in PATH.finditer(clause.text)
        if clause.negations[0] < token.start() and place.is_named(token.group())
    )


def _is_other(token: str, places: Sequence[Place], about: Sequence[str]) -> bool:
    """Whether a token is the path of a file that is neither expected nor asked about."""
    known = (*about, *(place.file for place in places if place.path != place.file))
    if any(place.is_named(token) for place in places) or token in known:
        return False
    return token.endswith((".py", ".pyi", ".md", ".txt", ".toml", ".cfg"))


def _is_aside(clause: Clause, at: int, kind: str | None, names: Sequence[str]) -> bool:
    """Whether a path is in brackets or has another relation to the subject: "defined in a.py and used by b.py"."""
    before = clause.text[:at]
    if before.count("(") > before.count(")") and not re.search(r"\((?:and|or|also)\b[^()]*$", before):
        return True
    last = before[max((token.end() for token in PATH.finditer(before) if token.group().endswith(".py")), default=0) :]
    for name in names:
        last = whole(name).sub("", last)
    other = DEFINES if kind == "importer" else IMPORTS
    return bool(OTHER_RELATION.search(last) or other.search(last))


def _sentences(text: str) -> Iterator[list[Clause]]:
    sentence: list[Clause] = []
    for clause in clauses(text):
        if sentence and clause.sentence != sentence[-1].sentence:
            yield sentence
            sentence = []
        sentence.append(clause)
    if sentence:
        yield sentence


def _assigned(sentence: Sequence[Clause], pairs: Mapping[str, Place]) -> Iterator[tuple[str, str]]:
    """(name, path) as a sentence assigns them: "A is in a.py and B in b.py", "A and B are in a.py and b.py"."""
    runs: list[tuple[bool, list[str]]] = []  # alternating runs of names and of paths
    names = {name: whole(name) for name in pairs}
    for clause in sentence:
        hits = [
            (match.start(), match.end(), name, True) for name in names for match in names[name].finditer(clause.text)
        ]
        paths = [match for match in PATH.finditer(clause.text) if _is_path(match.group(), pairs)]
        hits += [
            (match.start(), match.end(), match.group(), False)
            for match in paths
            if not _is_aside(clause, match.start(), None, [*pairs])
        ]
        for start, end, token, is_name in sorted(hits):
            if not is_name and not clause.asserts(start, end):
                continue
            if runs and runs[-1][0] is is_name:
                runs[-1][1].extend([token] if token not in runs[-1][1] else [])
            else:
                runs.append((is_name, [token]))
    text = " ".join(clause.text for clause in sentence)
    in_order = "respectively" in text
    if in_order and len(runs) == 1 and not runs[0][0]:
        runs.insert(0, (True, list(pairs)))  # "They are in a.py and b.py, respectively"
    in_order = in_order or not re.search(r"(?i)\b(?:both|each)\b", text)
    for (_, first), (_, second) in zip(runs[::2], runs[1::2], strict=False):
        left, right = (first, second) if runs[0][0] else (second, first)
        if len(left) == len(right) and in_order:
            yield from zip(left, right, strict=True)
        else:
            yield from ((name, path) for name in left for path in right)


def _is_path(token: str, pairs: Mapping[str, Place]) -> bool:
    return token.endswith(".py") or any(place.is_named(token) for place in pairs.values())
