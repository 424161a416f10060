"""Exact and near duplicates of whole trajectories; the only importer of rensa (MinHash with LSH).

Two trajectories are near duplicates when they name the same subject, their questions share at least PROMPT_ALIKE of
their words, and what their assistants said and called is alike by MinHash. Tool results are left out: two different
questions about one long file would look the same. Other subjects are never duplicates, however alike the wording.
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
BANDS = 8  # bands of 8 rows: of pairs 0.9 alike 99% are found, of pairs 0.5 alike 3%
SIMILARITY_THRESHOLD = 0.85  # of the assistant's shingles
PROMPT_ALIKE = 0.8  # of the question's words
SHINGLE = 3  # words
LINEAR_SCAN_LIMIT = 32  # are compared one by one


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a trajectory to compare it with others; about 0.5 KB."""

    exact: bytes
    """of the question, the calls, the results and the answer, their words alone"""
    about: bytes
    """of the workspace and the subjects"""
    words: bytes
    """checksums of the question's words, 4 bytes each"""
    sketch: rensa.RMinHash


def fingerprint(trajectory: Trajectory) -> Fingerprint:
    """The fingerprint of one trajectory."""
    said = list(_said(trajectory))
    heard = [normalised(message.content or "") for message in trajectory.messages if message.role == "tool"]
    question = normalised(trajectory.prompt)
    place = workspace_of(trajectory)
    sketch = rensa.RMinHash(PERMUTATIONS, 0)
    sketch.update(list(_shingles(said)))
    return Fingerprint(
        exact=_digest([question, place, *subjects(trajectory), *said, *heard]),  # subjects: Task is not task
        about=_digest([place, *subjects(trajectory)]),
        words=b"".join(sorted({zlib.crc32(word.encode()).to_bytes(4) for word in question.split()})),
        sketch=sketch,
    )


class SeenIndex:
    """Fingerprints seen so far, each under the number it was given."""

    def __init__(self) -> None:
        self._exact: dict[bytes, int] = {}
        self._about: dict[bytes, _Group] = {}

    def match(self, print_: Fingerprint) -> tuple[int, float] | None:
        """The number and likeness (1.0: exact) of what this repeats, None when it is new."""
        if (number := self._exact.get(print_.exact)) is not None:
            return number, 1.0
        group = self._about.get(print_.about)
        for number, other in group.candidates(print_) if group else ():
            if _overlap(other.words, print_.words) < PROMPT_ALIKE:
                continue
            if (alike := float(other.sketch.jaccard(print_.sketch))) >= SIMILARITY_THRESHOLD:
                return number, alike
        return None

    def add(self, number: int, print_: Fingerprint) -> None:
        """Remember one that is new."""
        self._exact[print_.exact] = number
        self._about.setdefault(print_.about, _Group()).add(number, print_)


class _Group:
    """Those about one subject; most are few. One index for all would name thousands that only share their wording."""

    def __init__(self) -> None:
        self._members: dict[int, Fingerprint] = {}
        self._near: rensa.RMinHashLSH | None = None

    def add(self, number: int, print_: Fingerprint) -> None:
        self._members[number] = print_
        if self._near is not None:
            self._near.insert(number, print_.sketch)
        elif len(self._members) > LINEAR_SCAN_LIMIT:
            self._near = rensa.RMinHashLSH(SIMILARITY_THRESHOLD, PERMUTATIONS, BANDS)
            for each, member in self._members.items():
                self._near.insert(each, member.sketch)

    def candidates(self, print_: Fingerprint) -> Iterable[tuple[int, Fingerprint]]:
        """Those worth comparing, oldest first."""
        if self._near is None:
            return self._members.items()
        return ((number, self._members[number]) for number in sorted(self._near.query(print_.sketch)))


def _said(trajectory: Trajectory) -> Iterator[str]:
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
    one, two = ({words[n : n + 4] for n in range(0, len(words), 4)} for words in (first, second))
    return len(one & two) / len(one | two) if one | two else 1.0


def _digest(parts: Iterable[str]) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]
