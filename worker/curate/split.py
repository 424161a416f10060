"""Splits by group: what can be looked up on one side is never asked on the other.

One group holds every example that shares a normalised prompt, or that asks about the same subject, whatever the words.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from config.questions.wording import parse
from config.records import Split, Trajectory

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
RULE_PROMPT = "by group: the same normalised prompt, or the same subject in the same workspace, is on one side only"
RULE_WORKSPACE = "by workspace: all questions about one codebase are on one side only"
RULE_SEED = (
    "the seed pipeline's: records in file order, shuffled with random.seed(42), the first 90% train, the rest valid"
)
WORD = re.compile(r"[^\W_]+(?:[_./:-]+[^\W_]+)*")
# What reads like code: quoted, dotted, with an underscore, a slash, a digit, a capital inside, or all capitals.
CODE = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|'([^'\n]+)'")
CODE_WORD = re.compile(r"[_./\d]|[a-z][A-Z]|^[A-Z]{2,}$|^[A-Z][a-z]+[A-Z]|^__")


def normalised(text: str) -> str:
    """Lower case, no accents of layout: words alone, single spaces between."""
    return " ".join(WORD.findall(text.lower()))


def subjects(trajectory: Trajectory) -> tuple[str, ...]:
    """What the question is about, () when it names nothing: its slots if its wording is known, else its code words.

    A question about two definitions has two subjects; everywhere else what it names counts together.
    """
    return _subjects(trajectory.prompt)


@lru_cache(maxsize=16)  # splitting, fingerprints and claims ask it of one trajectory in turn
def _subjects(prompt: str) -> tuple[str, ...]:
    if question := parse(prompt):
        slots = {slot: value for slot, value in question.slots.items() if slot != "kind"}
        if "other" in slots:
            return tuple(sorted(slots.values()))
        return ("\0".join(sorted(slots.values())),)
    quoted = {next(part for part in found.groups() if part is not None) for found in CODE.finditer(prompt)}
    bare = {word for word in WORD.findall(CODE.sub(" ", prompt)) if CODE_WORD.search(word)}
    return ("\0".join(sorted(quoted | bare)),) if quoted | bare else ()


def workspace_of(trajectory: Trajectory) -> str:
    """The codebase a trajectory was made on, "" when it does not say."""
    pin = trajectory.provenance.workspace if trajectory.provenance else None
    return pin.origin if pin else ""


def group_keys(trajectory: Trajectory, *, by_workspace: bool) -> tuple[str, ...]:
    """Everything that ties a trajectory to others; two that share one key are in one group."""
    if by_workspace:
        return (f"workspace {workspace_of(trajectory)}",)
    place = workspace_of(trajectory)
    keys = [f"prompt {normalised(trajectory.prompt)}", *(f"subject {place}\0{about}" for about in subjects(trajectory))]
    return tuple(hashlib.sha256(key.encode()).hexdigest()[:24] for key in keys)


@dataclass(frozen=True, slots=True)
class SplitItem:
    """What splitting needs to know of one example."""

    prompt: str
    """the normalised prompt, or a hash of it"""
    keys: tuple[str, ...]
    asked: Split | None = None
    """the split its prompt was given"""


def groups(members: Sequence[SplitItem]) -> list[str]:
    """The group of each member: the smallest key of everything connected to it, whatever their order."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for member in members:
        for key in member.keys:
            first, second = sorted((root(member.keys[0]), root(key)))
            parent[second] = first
    return [root(member.keys[0]) for member in members]


def assign(members: Sequence[SplitItem], *, valid_share: float, test_share: float, seed: int) -> list[Split]:
    """A split for each member.

    A split that a prompt was given counts; where one prompt was given two, the held-out one wins, and members that were
    given none follow their group's. The other groups are taken in the order of a hash of seed and group: test is filled
    first, then valid; a group that would overfill is left to train. No side that is asked for stays empty while there
    are groups to give it.
    """
    of = groups(members)
    sizes = Counter(of)
    by_prompt: defaultdict[str, set[Split]] = defaultdict(set)
    by_group: defaultdict[str, set[Split]] = defaultdict(set)
    for member, group in zip(members, of, strict=True):
        if member.asked:
            by_prompt[member.prompt].add(member.asked)
            by_group[group].add(member.asked)
    chosen = {group: _strictest(asked) for group, asked in by_group.items()}
    held = Counter(_strictest(by_prompt[m.prompt]) for m in members if m.prompt in by_prompt)
    free = sorted((group for group in sizes if group not in chosen), key=lambda group: _order(seed, group))
    _fill("test", free, sizes, test_share * len(members), held, chosen)
    _fill("valid", free, sizes, valid_share * len(members), held, chosen)
    return [
        _strictest(by_prompt[member.prompt]) if member.prompt in by_prompt else chosen.get(group, "train")
        for member, group in zip(members, of, strict=True)
    ]


def leaks(keys: Mapping[Split, set[str]]) -> dict[str, int]:
    """Per pair of splits, how many keys stand on both sides."""
    pairs: tuple[tuple[Split, Split], ...] = (("train", "valid"), ("train", "test"), ("valid", "test"))
    return {f"{a}-{b}": len(keys.get(a, set()) & keys.get(b, set())) for a, b in pairs}


def _fill(
    split: Split,
    free: list[str],
    sizes: Mapping[str, int],
    wanted: float,
    held: Counter[Split],
    chosen: dict[str, Split],
) -> None:
    open_groups = [group for group in free if group not in chosen]
    for group in open_groups:
        if held[split] + sizes[group] <= round(wanted):
            chosen[group] = split
            held[split] += sizes[group]
    left = [group for group in open_groups if group not in chosen]
    if wanted > 0 and not held[split] and len(left) > 1:
        smallest = min(left, key=lambda group: (sizes[group], left.index(group)))
        chosen[smallest] = split
        held[split] += sizes[smallest]


def _strictest(asked: set[Split]) -> Split:
    return next(split for split in ("test", "valid", "train") if split in asked)


def _order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed} {group}".encode()).digest()
