"""Finds secrets in text and masks them. The same text always gives the same result."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.secrets.rules import Rule, entropy, rules_for

MASK = "[masked: {}]"
LINE_CHARS = 10_000  # looked at on each side of a match; each match of a line of megabytes would copy it otherwise
GENERIC = ("generic-api-key", "password-setting")  # each names a secret that another rule names better


@dataclass(frozen=True)
class Secret:
    """One secret in a text."""

    rule: str
    """kind of the secret, such as github-pat"""
    start: int
    end: int


def find_secrets(text: str) -> list[Secret]:
    """The secrets of a text, in order; where two overlap, the longer one."""
    text = text.encode(errors="replace").decode()  # a lone surrogate, which RE2 does not read, becomes "?"
    found = [secret for rule in rules_for(text) for secret in _of_rule(rule, text)]
    kept: list[Secret] = []
    for secret in sorted(found, key=lambda one: (one.start, one.start - one.end, one.rule in GENERIC, one.rule)):
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def mask(text: str) -> str:
    """The text with each secret replaced by its kind, "[masked: github-pat]", on each of its lines."""
    return replace(text, find_secrets(text))


def replace(text: str, secrets: Iterable[Secret]) -> str:
    """The text with a mask in the place of each of its secrets, which are in order. It has as many lines as before."""
    parts: list[str] = []
    done = 0
    for secret in secrets:
        lines = text.count("\n", secret.start, secret.end) + 1
        parts += [text[done : secret.start], "\n".join([MASK.format(secret.rule)] * lines)]
        done = secret.end
    return "".join([*parts, text[done:]])


def _of_rule(rule: Rule, text: str) -> Iterator[Secret]:
    for match in rule.pattern.finditer(text):
        start, end = rule.secret_in(match)
        secret = text[start:end]
        if rule.entropy and entropy(secret) <= rule.entropy:
            continue
        near, far = max(0, match.start() - LINE_CHARS), match.end() + LINE_CHARS
        before = text[near : match.start()].rpartition("\n")[2]
        line = before + match.group() + text[match.end() : far].partition("\n")[0]
        if not any(allowlist.allows(secret, match.group(), line) for allowlist in rule.allowlists):
            yield Secret(rule.name, start, end)
