"""Finds secrets in text and masks them. The same text always gives the same result."""

from collections.abc import Iterator
from dataclasses import dataclass

from worker.secrets.rules import Rule, entropy, rules_for

MASK = "[masked: {}]"
GENERIC = "generic-api-key"  # names a secret that another rule names better


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
    for secret in sorted(found, key=lambda one: (one.start, one.start - one.end, one.rule == GENERIC, one.rule)):
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def mask(text: str) -> str:
    """The text with each secret replaced by its kind, "[masked: github-pat]"."""
    secrets = find_secrets(text)
    for secret in reversed(secrets):
        text = text[: secret.start] + MASK.format(secret.rule) + text[secret.end :]
    return text


def _of_rule(rule: Rule, text: str) -> Iterator[Secret]:
    for match in rule.pattern.finditer(text):
        start, end = rule.secret_in(match)
        secret = text[start:end]
        if rule.entropy and entropy(secret) <= rule.entropy:
            continue
        first = text.rfind("\n", 0, match.start()) + 1
        last = text.find("\n", match.end())
        line = text[first : last if last >= 0 else len(text)]
        if not any(allowlist.allows(secret, match.group(), line) for allowlist in rule.allowlists):
            yield Secret(rule.name, start, end)
