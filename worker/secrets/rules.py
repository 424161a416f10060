"""Reads rules for secrets in the form of gitleaks.toml."""

import math
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import re2

FILES = ("gitleaks.toml", "own.toml")  # a rule replaces that of the same id


@dataclass(frozen=True)
class Allowlist:
    """Findings that are no secrets: all of the given kinds of condition hold, or one of them."""

    patterns: tuple[re2._Regexp, ...]
    stopwords: tuple[str, ...]
    target: str
    """what the patterns are searched in: secret, match or line"""
    every: bool

    def allows(self, secret: str, match: str, line: str) -> bool:
        """Whether this finding is no secret."""
        text = {"match": match, "line": line}.get(self.target, secret)
        lowered = secret.lower()
        found = [any(pattern.search(text) for pattern in self.patterns)] if self.patterns else []
        found += [any(word in lowered for word in self.stopwords)] if self.stopwords else []
        return bool(found) and (all(found) if self.every else any(found))


@dataclass(frozen=True)
class Rule:
    """One kind of secret."""

    name: str
    pattern: re2._Regexp
    group: int
    """of the pattern, that holds the secret; 0: the first that matched, or the whole match"""
    entropy: float
    """bits per character that the secret must exceed"""
    keywords: tuple[str, ...]
    """lower case; a text without any of them cannot match"""
    allowlists: tuple[Allowlist, ...]

    def secret_in(self, found: "re2._Match[str]") -> tuple[int, int]:
        """Place of the secret in a match."""
        groups = [self.group] if self.group else range(1, self.pattern.groups + 1)
        filled = [number for number in groups if found.group(number)]
        number = filled[0] if filled else 0
        return int(found.start(number)), int(found.end(number))


@cache
def rules() -> tuple[Rule, ...]:
    """All rules; those that look at the name of a file only are left out."""
    made: dict[str, Rule] = {}
    for name in FILES:
        read = tomllib.loads((files("worker.secrets") / name).read_text(encoding="utf-8"))
        everywhere = (_allowlist(read["allowlist"]),) if "allowlist" in read else ()
        for entry in read["rules"]:
            if "regex" not in entry or "path" in entry:
                continue
            own = [_allowlist(given) for given in entry.get("allowlists", ())]
            made[entry["id"]] = Rule(
                entry["id"],
                re2.compile(entry["regex"]),
                entry.get("secretGroup", 0),
                entry.get("entropy", 0.0),
                tuple(word.lower() for word in entry["keywords"]),
                (*everywhere, *own),
            )
    return tuple(made.values())


def rules_for(text: str) -> list[Rule]:
    """The rules that can match the text, because it contains one of their keywords; in the order of `rules`."""
    keywords, of_keyword = _keywords()
    numbers = {number for found in keywords.Match(text.lower()) or () for number in of_keyword[found]}
    return [rules()[number] for number in sorted(numbers)]


@cache
def _keywords() -> tuple[re2.Set, list[list[int]]]:
    """All keywords, which are searched in one pass, and for each the numbers of its rules."""
    of_word: dict[str, list[int]] = {}
    for number, rule in enumerate(rules()):
        for word in rule.keywords:
            of_word.setdefault(word, []).append(number)
    keywords = re2.Set.SearchSet(re2.Options())
    for word in of_word:
        keywords.Add(re2.escape(word))
    keywords.Compile()
    return keywords, list(of_word.values())


def _allowlist(given: dict[str, object]) -> Allowlist:
    patterns, words = given.get("regexes", ()), given.get("stopwords", ())
    assert isinstance(patterns, list | tuple)
    assert isinstance(words, list | tuple)
    return Allowlist(
        tuple(re2.compile(pattern) for pattern in patterns),
        tuple(word.lower() for word in words),
        str(given.get("regexTarget", "secret")),
        every=given.get("condition") == "AND" and "paths" not in given,
    )


def entropy(text: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values()) if text else 0.0
