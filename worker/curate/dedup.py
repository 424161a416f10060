"""Finds exact and near duplicates of trajectories. The only importer of rensa (MinHash with LSH).

Two trajectories are near duplicates if they have the same subject, their questions share at least PROMPT_SIMILARITY of
their words, and their assistant texts and calls are similar by MinHash. Tool results are left out: two questions about
the same long file would look alike. Trajectories with different subjects are never duplicates, whatever the wording.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import rensa

from config.records import Trajectory
from worker.curate.split import normalised, subjects, workspace_of

PERMUTATIONS = 64  # standard error of the estimate about 0.06 at the threshold
BANDS = 8  # of 8 rows each: finds 99% of the pairs with similarity 0.9 and 3% of those with 0.5
SIMILARITY_THRESHOLD = 0.85  # of the assistant's shingles
PROMPT_SIMILARITY = 0.8  # of the question's words
SHINGLE = 3  # words
LINEAR_SCAN_LIMIT = 32  # groups up to this size are compared without an index


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Data for comparing a trajectory with others; about 0.5 KB."""

    exact: bytes
    """hash of the normalised question, calls, results and answer"""
    subject: bytes
    """hash of the workspace and the subjects"""
    words: bytes
    """checksums of the question's words, 4 bytes each"""
    sketch: rensa.RMinHash


def fingerprint(trajectory: Trajectory) -> Fingerprint:
    """The fingerprint of one trajectory."""
    spoken = list(_assistant_texts(trajectory))
    results = [normalised(message.content or "") for message in trajectory.messages if message.role == "tool"]
    question = normalised(trajectory.prompt)
    workspace = workspace_of(trajectory)
    sketch = rensa.RMinHash(PERMUTATIONS, 0)
    sketch.update(list(_shingles(spoken)))
    return Fingerprint(
        exact=_digest([question, workspace, *subjects(trajectory), *spoken, *results]),  # subjects keep their case
        subject=_digest([workspace, *subjects(trajectory)]),
        words=b"".join(sorted({zlib.crc32(word.encode()).to_bytes(4) for word in question.split()})),
        sketch=sketch,
    )


class SeenIndex:
    """The fingerprints added so far, by number."""

    def __init__(self) -> None:
        self._exact: dict[bytes, int] = {}
        self._by_subject: dict[bytes, _Group] = {}

    def match(self, print_: Fingerprint) -> tuple[int, float] | None:
        """Number and similarity (1.0: exact) of the fingerprint that this one repeats; None if it is new."""
        if (number := self._exact.get(print_.exact)) is not None:
            return number, 1.0
        group = self._by_subject.get(print_.subject)
        for number, other in group.candidates(print_) if group else ():
            if _overlap(other.words, print_.words) < PROMPT_SIMILARITY:
                continue
            if (similarity := float(other.sketch.jaccard(print_.sketch))) >= SIMILARITY_THRESHOLD:
                return number, similarity
        return None

    def add(self, number: int, print_: Fingerprint) -> None:
        """Add a new fingerprint."""
        self._exact[print_.exact] = number
        self._by_subject.setdefault(print_.subject, _Group()).add(number, print_)


class _Group:
    """Fingerprints of one subject. An index over all subjects would return thousands that only share their wording."""

    def __init__(self) -> None:
        self._members: dict[int, Fingerprint] = {}
        self._near: rensa.RMinHashLSH | None = None

    def add(self, number: int, print_: Fingerprint) -> None:
        self._members[number] = print_
        if self._near is not None:
            self._near.insert(number, print_.sketch)
        elif len(self._members) > LINEAR_SCAN_LIMIT:
            self._near = rensa.RMinHashLSH(SIMILARITY_THRESHOLD, PERMUTATIONS, BANDS)
            for member_number, member in self._members.items():
                self._near.insert(member_number, member.sketch)

    def candidates(self, print_: Fingerprint) -> Iterable[tuple[int, Fingerprint]]:
        """The fingerprints to compare with, oldest first."""
        if self._near is None:
            return self._members.items()
        return ((number, self._members[number]) for number in sorted(self._near.query(print_.sketch)))


def _assistant_texts(trajectory: Trajectory) -> Iterator[str]:
    for message in trajectory.messages:
        if message.role == "assistant":
            yield normalised(message.content or "")
        for call in message.tool_calls:
            yield f"{call.name} {json.dumps(call.arguments, sort_keys=True, ensure_ascii=False)}"


def _shingles(texts: Iterable[str]) -> Iterator[str]:
    words = [word for text in texts for word in text.split()]
    for start in range(max(1, len(words) - SHINGLE + 1)):
        yield " ".join(words[start : start + SHINGLE])


def _overlap(first: bytes, second: bytes) -> float:
    left, right = ({words[n : n + 4] for n in range(0, len(words), 4)} for words in (first, second))
    return len(left & right) / len(left | right) if left | right else 1.0


def _digest(parts: Iterable[str]) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]
