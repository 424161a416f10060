"""What an answer names that no result holds: files, symbols, numbers, lines, expected facts."""

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

from config.records import JsonObject
from worker.curate.checks.support.answer import (
    DIRECTORY,
    LINE_NUMBER,
    PATH,
    Answer,
    counts,
    listed,
    names,
    numbers,
    paths,
    stands_whole,
)
from worker.curate.checks.support.evidence import LANGUAGE, STANDARD, Evidence

CODE = re.compile(r"[a-z0-9][A-Z]|\w_\w|\w\.\w")  # clearly a symbol: CamelCase, snake_case, dotted
LITERAL = r"(True|False|None|-?\d[\d_]*(?:\.\d+)?\b|'[^'\n]*'|\"[^\"\n]*\")"
DEFAULT = re.compile(rf"`?\b(\w+)`?(?:\s*=\s*|,? (?:which |that |it )?(?:defaults? to |\(?default:? )`?){LITERAL}")
MOSTLY = 0.5  # of the symbols in an answer
HOW_MANY = re.compile(r"(?i)\bhow many\b|\bcount\b|\bnumber of\b")
CODE_COUNTS = 20  # things in shown code that a reader counts; a search result is counted exactly
PLAIN_DIRECTORY = re.compile(r"(?<![\w/`.-])\w+(?:/\w+)+(?![\w/`]|\.\w)")  # not in backticks; or "read/write"
GARBLED = 0.84  # similarity of a misspelt name to the real one: one letter of six, two of twelve


def unsupported_names(answer: Answer, evidence: Evidence) -> Iterator[str]:
    """Details of the first unsupported file, symbol, number, cited line and expected fact of an answer."""
    judges: Sequence[Callable[[Answer, Evidence], str]] = (_files, _symbols, _numbers, _defaults, _lines, _expected)
    yield from filter(None, (judge(answer, evidence) for judge in judges))


def _files(answer: Answer, evidence: Evidence) -> str:
    for path in dict.fromkeys(paths(answer.claims)):
        if not evidence.asked(path) and not evidence.holds_path(path):
            return f"the answer names {path!r}, which is not in any result"
    directories = [directory for directory in DIRECTORY.findall(answer.claims) if not PATH.fullmatch(directory)]
    bare = [plain for plain in PLAIN_DIRECTORY.findall(answer.claims) if _is_garbled(plain, evidence)]
    for directory in (*directories, *bare):
        if not evidence.asked(directory.strip("/")) and not evidence.holds_directory(directory):
            return f"the answer names {directory!r}, which is not in any result"
    return ""


def _symbols(answer: Answer, evidence: Evidence) -> str:
    items = listed(answer.claims)
    named = dict(names(answer.claims)) | dict.fromkeys(items, True)
    unknown = [name for name in named if not evidence.knows(name)]
    if not unknown:
        respelt = next((name for name, quoted in named.items() if quoted and _is_respelt(name, evidence)), "")
        return f"the answer names {respelt!r}, which the results write with other capitals" if respelt else ""
    sure = [name for name in unknown if CODE.search(name) and (named[name] or "_" in name) and name not in STANDARD]
    alone = len(unknown) > MOSTLY * len(named) or evidence.is_weak or items or len(unknown) > 1
    wrong = sure or (unknown if alone else [name for name in unknown if _is_garbled(name, evidence)])
    return f"the answer names {wrong[0]!r}, which is not in any result" if wrong else ""


def _is_respelt(name: str, evidence: Evidence) -> bool:
    """Whether the results hold the name in other capitals only; the question's own spelling may be any."""
    if evidence.asked(name) or name.lower() in LANGUAGE or not evidence.holds(name):
        return False
    return not stands_whole(name, evidence.spelt)


def _is_garbled(name: str, evidence: Evidence) -> bool:
    """Whether the name or directory is nearly one of the question or the results."""
    matcher = SequenceMatcher(b=name.lower(), autojunk=False)
    words = r"\w+(?:/\w+)+" if "/" in name else r"\w{5,}"
    for word in set(re.findall(words, f"{evidence.question}\n{evidence.text}")):
        matcher.set_seq1(word)
        if matcher.real_quick_ratio() > GARBLED and matcher.quick_ratio() > GARBLED and matcher.ratio() > GARBLED:
            return True
    return False


def _numbers(answer: Answer, evidence: Evidence) -> str:
    stated = list(dict.fromkeys([*numbers(answer.claims), *map(float, counts(answer.claims))]))
    supported = [number for number in stated if evidence.counts(number) or number in answer.list_sizes]
    totals = (
        {sum(supported)} | {a + b for a in supported for b in supported} | {a - b for a in supported for b in stated}
    )
    for number in stated:
        if number in supported or stands_whole(f"{number:g}", evidence.question):
            continue
        if number in totals or evidence.measures(number) or _is_read(number, evidence):
            continue
        return f"the answer states {number:g}, which no result supports"
    return ""


def _is_read(number: float, evidence: Evidence) -> bool:
    """Whether a reader may have counted it in shown code, in answer to a question that does not ask for a count."""
    code = max(
        (len(r.lines) for r in evidence.found if r.lines and not r.listed and not r.argument("pattern")), default=0
    )
    return not HOW_MANY.search(evidence.question) and number <= min(code, CODE_COUNTS)


def _defaults(answer: Answer, evidence: Evidence) -> str:
    """A value that the answer gives to a name to which the results give other values only."""
    for name, value in DEFAULT.findall(answer.text):
        form = re.compile(rf"(?<!\w){name}\s*(?::[^=,\n]*)?=\s*{LITERAL}")
        shown = {given for result in evidence.found for line in result.lines for given in form.findall(line.text)}
        if shown and _plain(value) not in map(_plain, shown):
            return f"the answer gives {name!r} the value {value}, which no result shows"
    return ""


def _plain(literal: str) -> str:
    """A literal without quotes and without zeros at the end of a fraction."""
    return re.sub(r"(?<=\d)\.0+$", "", literal.strip("'\"").replace("_", ""))


def _lines(answer: Answer, evidence: Evidence) -> str:
    for clause in answer.clauses:
        cited = list(LINE_NUMBER.finditer(clause.text)) if clause.asserts else []
        for found in cited:
            first = int(found["at"] or found["line"])
            last = int(found["till"] or found["last"] or first)
            path = (found["path"] or "").removeprefix("./")
            more = [int(digits) for digits in re.findall(r"\d+", found["more"] or "")]
            if not all(
                _shows_lines(path, start, end, evidence)
                for start, end in ((first, last), *zip(more, more, strict=True))
            ):
                return f"the answer cites {found.group()!r}, which no result shows"
            if len(cited) == 1 and first == last and not more and _is_elsewhere(clause.text, first, evidence):
                return f"the answer cites {found.group()!r}, but the results show it on another line"
    return ""


def _shows_lines(path: str, first: int, last: int, evidence: Evidence) -> bool:
    def at_path(line: int) -> bool:
        return any(not path or f"/{shown}".endswith(f"/{path}") or path.endswith(f"/{shown}") for shown, _ in at(line))

    def at(line: int) -> list[tuple[str, str]]:
        return evidence.line_numbers.get(line, [])

    if not evidence.line_numbers or evidence.longest >= last:
        return evidence.longest >= last or evidence.holds(str(first)) or evidence.asked(str(first))
    return at_path(first) and at_path(last)


def _is_elsewhere(clause: str, number: int, evidence: Evidence) -> bool:
    """Whether the definition of the only symbol that the clause names is shown, and on another line."""
    named = {name for name, _ in names(clause)} | {
        name for name, _ in names(evidence.trajectory.prompt) if not list(names(clause))
    }
    if len(named) != 1:
        return False
    form = re.compile(rf"\b(?:class|def) {re.escape(next(iter(named)))}\b")
    places = {n for n, lines in evidence.line_numbers.items() for _, text in lines if form.search(text)}
    here = " ".join(text for _, text in evidence.line_numbers.get(number, []))
    if not places or number in places or here.lstrip().startswith("@"):
        return False
    return "defin" in clause or not stands_whole(next(iter(named)), here)


def _expected(answer: Answer, evidence: Evidence) -> str:
    expect = evidence.trajectory.expect or {}
    number = expect.get("number")
    if isinstance(number, int) and stands_whole(str(number), answer.claims):
        known = evidence.counts(number) or evidence.asked(str(number)) or number in answer.list_sizes
        if not known:
            return f"the answer states {number}, which no result supports"
    claims = answer.claims.lower()
    for item in _facts(expect):
        if stands_whole(item.lower(), claims) and not _supported(item, evidence):
            return f"the answer states {item!r}, which is not in any result"
    return ""


def _supported(item: str, evidence: Evidence) -> bool:
    folded = " ".join(item.lower().split())
    return evidence.asked(folded) or folded in " ".join(evidence.text.split()) or evidence.holds_path(item)


def supported_facts(expect: JsonObject, evidence: Evidence) -> bool:
    """Whether the results hold every fact of an expectation, so that a right answer could be read from them."""
    number, either = expect.get("number"), _facts({"any": expect.get("any")})
    counted = not isinstance(number, int | float) or evidence.counts(float(number)) or evidence.measures(float(number))
    facts = list(_facts({key: value for key, value in expect.items() if key != "any"}))
    options = list(either)
    any_of = not options or any(_supported(item, evidence) for item in options)
    return counted and any_of and all(_supported(item, evidence) for item in facts) and bool(_stated(expect))


def _stated(expect: JsonObject) -> set[str]:
    """The keys of an expectation that state facts."""
    return {"number", "contains", "any", "names", "parameters", "paths", "file", "pairs", "value", "sentence"} & set(
        expect
    )


def _facts(expect: JsonObject) -> Iterator[str]:
    """The texts that an expectation holds, whatever its type (config/questions/expected_facts.py)."""
    for key in ("contains", "any", "names", "parameters", "paths", "file", "pairs", "value", "sentence"):
        value = expect.get(key)
        listed = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
        yield from (item for item in listed if isinstance(item, str))
