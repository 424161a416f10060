"""Splits an answer into clauses and extracts what they name: paths, symbols, numbers, cited lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

EXTENSIONS = (
    r"pyi?|md|rst|txt|toml|ya?ml|json|cfg|ini|js|ts|tsx|jsx|go|rs|c|h|cc|cpp|hpp|java|kt|swift|rb|php|sh|sql|html|css"
    r"|proto|lock|ipynb|csv|xml|gradle|m|mm"
)
PATH = re.compile(rf"(?<![\w/.-])(?:[\w.-]+/)*[\w.-]*\w\.(?:{EXTENSIONS})(?![\w/-]|\.\w)")
DIRECTORY = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
QUOTED = re.compile(r"`([^`\n]{2,80})`")
NAME = re.compile(r"[A-Za-z_][\w.]*\w")
CAMEL = re.compile(r"(?<![\w.`])_*(?:[A-Z][a-z0-9]+){2,}[A-Za-z0-9]*(?!\w)|(?<![\w.`])(?=\w*[a-zA-Z])\w+_\w+(?!\w)")
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
COUNTED = re.compile(
    r"(?i)(?<![\w.,:/-])(\d{1,7}|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
    r"(?:\s+(?!of\b|to\b|and\b|or\b)[\w.`*_-]+){0,3}?\s+"
    r"(?:files?|matches|matche?s?|lines?|class(?:es)?|subclasses|functions?|methods?|modules?|occurrences?|times"
    r"|results?|tests?|imports?|importers|parameters?|arguments?|decorators?|directories|director(?:y|ies)|entries)\b"
)
NUMBER = re.compile(r"(?<![\w.,:/#$-])\d[\d,_]*(?:\.\d+)?(?![\w/]|[-:.,]\d)")
MARKUP = re.compile(r"</?\|?\w+\|?>")
LIST_MARK = re.compile(r"(?m)(?:^\s*|[,;] )\(?\d+[.)]\s")
LINE_NUMBER = re.compile(
    r"(?P<path>[\w./-]+\.\w{1,6}):(?P<at>\d+)(?:[-\u2013](?P<till>\d+))?"
    r"|\b[Ll]ines?\s+`?(?P<line>\d+)`?(?:\s*(?:-|\u2013|to|through)\s*(?P<last>\d+))?"
    r"(?P<more>(?:(?:,\s*(?:and\s+)?|\s+and\s+|\s*&\s*)`?\d+`?(?!\w|\.\d|\s+(?!and\b)[a-z]))*)(?!\s*lines)"
)
# A clause ends where another assertion may begin, so that a denial does not cover the rest of its sentence.
CLAUSE = re.compile(
    r"(?<=[.!?:])\s+|\n+|;\s|\s[\u2013\u2014-]\s|,?\s(?:but|however|instead|although|though|whereas|while|rather)\b,?"
    r"|,\s(?=(?:and\s)?(?:it|they|which|so)\s)|,\s(?=(?:not|nor|neither)\b)"
    r"|\sand\s(?=(?:\w+\s){0,3}?(?:not|no|never)\b|(?:\w+\s){0,2}\w+n['\u2019]t\b)"
)
DENIAL = re.compile(
    r"\b(?:[Nn]o(?! longer)|[Nn]ot(?! only)|[Nn]or|[Nn]ever|[Nn]either|[Cc]annot|[Nn]othing|[Nn]owhere|[Uu]nable)\b"
    r"|\bnone\b|n['\u2019]t\b|^\W*None\b(?!\W*$)"  # elsewhere, None is Python's
)
SOFT_DENIAL = re.compile(r"(?i)\b(?:without|missing|absent|fail(?:s|ed|ing)?|lacks?|empty)\b")
HEDGE = re.compile(
    r"(?i)\b(?:may|might|could|can|would|should|perhaps|possibl[ey]|probabl[ey]|likely|if|unless|please|try|seems?"
    r"|appears?|suggests?|maybe|let me|check|whether|either)\b|\?$"
)


@dataclass(frozen=True)
class Clause:
    """A part of an answer with one assertion."""

    text: str

    @cached_property
    def denies(self) -> bool:
        """Whether it contains a negation, outside quoted code and paths: app/nowhere.py denies nothing."""
        return bool(DENIAL.search(PATH.sub("x", QUOTED.sub("`x`", self.text))))

    @cached_property
    def asserts(self) -> bool:
        """Whether its names and numbers are claims: nothing in it is negated."""
        return not self.denies and not SOFT_DENIAL.search(self.text)

    @cached_property
    def hedged(self) -> bool:
        """Whether it suggests or asks instead of asserting."""
        return bool(HEDGE.search(self.text))


@dataclass(frozen=True)
class Answer:
    """The final text of a trajectory."""

    text: str

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """Its clauses, in order; blank ones are left out."""
        return tuple(Clause(part.strip()) for part in CLAUSE.split(self.text) if part and re.search(r"\w", part))

    @cached_property
    def claims(self) -> str:
        """The clauses without any negation, one a line, without chat markup."""
        return MARKUP.sub(" ", " \n".join(clause.text for clause in self.clauses if clause.asserts))

    @cached_property
    def affirmed(self) -> str:
        """The clauses that do not deny anything, one a line."""
        return " \n".join(clause.text for clause in self.clauses if not clause.denies)

    @cached_property
    def denies(self) -> bool:
        """Whether any clause denies something."""
        return any(clause.denies for clause in self.clauses)

    @cached_property
    def list_sizes(self) -> frozenset[int]:
        """Numbers of things that the answer lists: bullets, quoted names, paths, comma lists."""
        bullets = len(re.findall(r"(?m)^\s*(?:[-*\u2022]|\d+[.)])\s", self.text))
        quoted = len(set(QUOTED.findall(self.text)))
        rows = (len(re.split(r",\s+(?:and\s+)?|\s+and\s+", line)) for line in re.split(r"[:\n]", self.text))
        return frozenset({bullets, quoted, quoted - 1, len(set(paths(self.text))), *rows})


def stands_whole(name: str, text: str) -> bool:
    r"""Whether `(?<!\w)name(?!\w)` matches in the text. Compiling a pattern per name takes ten times as long."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not (start and _is_word(text[start - 1])) and not (end < len(text) and _is_word(text[end])):
            return True
        start = text.find(name, start + 1)
    return False


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


def paths(text: str) -> Iterator[str]:
    """File names and paths in a text."""
    return (found.group().removeprefix("./") for found in PATH.finditer(text))


def names(text: str) -> Iterator[tuple[str, bool]]:
    """Symbols in a text and whether they are quoted: names in backticks, CamelCase and snake_case, but not paths."""
    for quoted in QUOTED.findall(text):
        bare = re.sub(r"\(.*\)?$", "", quoted).strip().lstrip("@*")
        if NAME.fullmatch(bare) and not PATH.fullmatch(bare):
            yield bare, True
    yield from ((found.group(), False) for found in CAMEL.finditer(PATH.sub(" ", QUOTED.sub(" ", text))))


def listed(text: str) -> list[str]:
    """The items of an answer that only lists names; [] for any other answer."""
    body = re.sub(r"^[^:\n]{0,40}:\s", "", text.strip()).rstrip(".")
    items = [re.sub(r"^[-*\s]+", "", item).strip(" `") for item in re.split(r",\s*(?:and\s+)?|\n|\s+and\s+", body)]
    filled = [item for item in items if item]
    only_names = all(NAME.fullmatch(item) and not PATH.fullmatch(item) for item in filled)
    return filled if len(filled) > 1 and only_names else []


def counts(text: str) -> Iterator[int]:
    """Counts that a text states, such as "12 files" or "three classes"."""
    for found in COUNTED.finditer(text):
        digits = found[1].lower()
        yield WORDS.index(digits) if digits in WORDS else int(digits)


def numbers(text: str) -> Iterator[float]:
    """Numbers in digits, without list marks, quoted code, paths and cited lines."""
    bare = LIST_MARK.sub(" ", LINE_NUMBER.sub(" ", PATH.sub(" ", text)))
    for found in NUMBER.finditer(bare):
        yield float(found.group().replace(",", "").replace("_", ""))
