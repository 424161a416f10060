"""Groups a dataset for its splits, so that no question of one split has its answer in another.

A group has all examples with the same normalised prompt, or with the same subject whatever the wording.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from config.questions.wording import parse
from config.records import Split, Trajectory

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
RULE_PROMPT = "by group: the same normalised prompt, or the same subject in the same workspace, is in one split only"
RULE_WORKSPACE = "by workspace: all questions about one codebase are in one split only"
RULE_HELD_OUT = "by workspace: the questions about {names} are in test only; the others " + RULE_PROMPT
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


def split_item(trajectory: Trajectory) -> "SplitItem":
    """The data of a trajectory that splitting needs."""
    about_code = trajectory.requires_tools and workspace_of(trajectory)
    return SplitItem(
        prompt=normalised(trajectory.prompt),
        keys=group_keys(trajectory),
        asked=trajectory.split,
        stratum=f"{trajectory.category} {'with' if trajectory.requires_tools else 'without'} tools",
        codebase=f"workspace {workspace_of(trajectory)}" if about_code else "",
    )


def group_keys(trajectory: Trajectory) -> tuple[str, ...]:
    """The grouping keys of a trajectory. Two trajectories with a common key are in the same group."""
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
    stratum: str = ""
    """what is shared out evenly: the category and whether it needs tools"""
    codebase: str = ""
    """the key of the code that it is about; "" for a question that needs no tools"""

    def by_codebase(self) -> "SplitItem":
        """The same, grouped with everything about its codebase."""
        return replace(self, keys=(self.codebase,)) if self.codebase else self


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


def leaks(keys: Mapping[Split, set[str]]) -> dict[str, int]:
    """Number of common keys per pair of splits."""
    pairs: tuple[tuple[Split, Split], ...] = (("train", "valid"), ("train", "test"), ("valid", "test"))
    return {f"{a}-{b}": len(keys.get(a, set()) & keys.get(b, set())) for a, b in pairs}
