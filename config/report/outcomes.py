"""The outcome of each prompt, so that two evaluations can be compared prompt by prompt without their trajectories."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from config.records import Record

SHOWN_CHARS = 300  # of a prompt and of an answer; longer ones are cut, with a marker
HASH_DIGITS = 16  # hex digits of the prompt's sha256


class Outcome(Record):
    """One model's answer to one prompt."""

    correct: bool | None = None
    """None if it cannot be graded"""
    grounded: bool | None = None
    """correct, and given after a real result; None if the prompt needs no tools or the answer cannot be graded"""
    answer: str
    """the final text, or why there is none; cut"""


class PromptOutcome(Record):
    """One prompt with the outcome of each model."""

    job_id: str
    category: str
    prompt: str
    """cut"""
    prompt_hash: str
    """start of the hex sha256 of the whole prompt"""
    needs_tools: bool
    before: Outcome | None = None
    after: Outcome | None = None

    @property
    def last(self) -> Outcome | None:
        """The adapter's outcome; the base model's if no adapter was evaluated."""
        return self.after or self.before


class OutcomePair(NamedTuple):
    """Two models' outcomes of one prompt."""

    prompt: PromptOutcome
    first: Outcome
    second: Outcome


class Shared(NamedTuple):
    """The prompts of two evaluations: pairs for the shared ones, and how many only one of them has."""

    pairs: tuple[OutcomePair, ...]
    only_first: int
    only_second: int


def base_and_adapter(outcomes: Iterable[PromptOutcome]) -> tuple[OutcomePair, ...]:
    """The prompts that base model and adapter both answered."""
    return tuple(OutcomePair(one, one.before, one.after) for one in outcomes if one.before and one.after)


def shared(first: Iterable[PromptOutcome], second: Iterable[PromptOutcome]) -> Shared:
    """Pair the last outcomes of two evaluations. A prompt is shared if its job_id and its whole text are equal."""
    mine = {(one.job_id, one.prompt_hash): one for one in first}
    theirs = {(one.job_id, one.prompt_hash): one for one in second}
    pairs = tuple(
        OutcomePair(one, one.last, other.last)
        for key, one in mine.items()
        if (other := theirs.get(key)) and one.last and other.last
    )
    return Shared(pairs, len(mine) - len(pairs), len(theirs) - len(pairs))


def prompt_hash(prompt: str) -> str:
    """The start of the hex sha256 of a prompt's text."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:HASH_DIGITS]


def cut(text: str, chars: int = SHOWN_CHARS) -> str:
    """The text with at most `chars` characters, the last being "…" if something was cut."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
