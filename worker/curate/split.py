"""Splits a dataset by group, so that no question of one split has its answer in another.

A group has all examples with the same normalised prompt, or with the same subject whatever the wording.
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
RULE_PROMPT = "by group: the same normalised prompt, or the same subject in the same workspace, is in one split only"
RULE_WORKSPACE = "by workspace: all questions about one codebase are in one split only"
RULE_SEED = (
    "the seed pipeline's: records in file order, shuffled with random.seed(42), the first 90% train, the rest valid"
)
WORD = re.compile(r"[^\W_]+(?:[_./:-]+[^\W_]+)*")
# Words that look like code: quoted, dotted, with an underscore, slash, digit or inner capital, or all capitals.
CODE = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|'([^'\n]+)'")
CODE_WORD = re.compile(r"[_./\d]|[a-z][A-Z]|^[A-Z]{2,}$|^[A-Z][a-z]+[A-Z]|^__")


def normalised(text: str) -> str:
    """The words in lower case, separated by single spaces."""
    return " ".join(WORD.findall(text.lower()))


def subjects(trajectory: Trajectory) -> tuple[str, ...]:
    """The subjects of the question: its slots if its wording is known, else its code words; () if it has neither.

    A question about two definitions has two subjects. In any other question all names form one subject.
    """
    return _subjects(trajectory.prompt)


@lru_cache(maxsize=16)  # called in turn for one trajectory by splitting, fingerprints and numeric answers
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
    """The codebase of a trajectory, "" if it is not recorded."""
    pin = trajectory.provenance.workspace if trajectory.provenance else None
    return pin.origin if pin else ""


def group_keys(trajectory: Trajectory, *, by_workspace: bool) -> tuple[str, ...]:
    """The grouping keys of a trajectory. Two trajectories with a common key are in the same group."""
    if by_workspace:
        return (f"workspace {workspace_of(trajectory)}",)
    workspace = workspace_of(trajectory)
    by_subject = (f"subject {workspace}\0{subject}" for subject in subjects(trajectory))
    keys = [f"prompt {normalised(trajectory.prompt)}", *by_subject]
    return tuple(hashlib.sha256(key.encode()).hexdigest()[:24] for key in keys)


@dataclass(frozen=True, slots=True)
class SplitItem:
    """The data of one example that splitting needs."""

    prompt: str
    """the normalised prompt, or a hash of it"""
    keys: tuple[str, ...]
    asked: Split | None = None
    """the split requested with its prompt"""


def groups(members: Sequence[SplitItem]) -> list[str]:
    """The group of each member: the smallest key connected to it, independent of the order of the members."""
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

    A split requested with a prompt is used. If one prompt has two, the held-out one wins. Members without a requested
    split follow their group's. The other groups are taken in the order of a hash of seed and group: they fill first
    test, then valid; a group that would overfill a split goes to train. No split with a share above 0 stays empty while
    groups are left.
    """
    group_of = groups(members)
    sizes = Counter(group_of)
    by_prompt: defaultdict[str, set[Split]] = defaultdict(set)
    by_group: defaultdict[str, set[Split]] = defaultdict(set)
    for member, group in zip(members, group_of, strict=True):
        if member.asked:
            by_prompt[member.prompt].add(member.asked)
            by_group[group].add(member.asked)
    chosen = {group: _strictest(requested) for group, requested in by_group.items()}
    filled = Counter(_strictest(by_prompt[m.prompt]) for m in members if m.prompt in by_prompt)
    free = sorted((group for group in sizes if group not in chosen), key=lambda group: _order(seed, group))
    _fill("test", free, sizes, test_share * len(members), filled, chosen)
    _fill("valid", free, sizes, valid_share * len(members), filled, chosen)
    return [
        _strictest(by_prompt[member.prompt]) if member.prompt in by_prompt else chosen.get(group, "train")
        for member, group in zip(members, group_of, strict=True)
    ]


def leaks(keys: Mapping[Split, set[str]]) -> dict[str, int]:
    """Number of common keys per pair of splits."""
    pairs: tuple[tuple[Split, Split], ...] = (("train", "valid"), ("train", "test"), ("valid", "test"))
    return {f"{a}-{b}": len(keys.get(a, set()) & keys.get(b, set())) for a, b in pairs}


def _fill(
    split: Split,
    free: list[str],
    sizes: Mapping[str, int],
    wanted: float,
    filled: Counter[Split],
    chosen: dict[str, Split],
) -> None:
    open_groups = [group for group in free if group not in chosen]
    for group in open_groups:
        if filled[split] + sizes[group] <= round(wanted):
            chosen[group] = split
            filled[split] += sizes[group]
    left = [group for group in open_groups if group not in chosen]
    if wanted > 0 and not filled[split] and len(left) > 1:
        smallest = min(left, key=lambda group: (sizes[group], left.index(group)))
        chosen[smallest] = split
        filled[split] += sizes[smallest]


def _strictest(requested: set[Split]) -> Split:
    return next(split for split in ("test", "valid", "train") if split in requested)


def _order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed} {group}".encode()).digest()
