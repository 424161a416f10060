"""Plants every kind, curates the sound sets and the planted faults, and tabulates what was caught."""

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.corruptions import aspects, claims, doctored, stale, texts, turns
from benchmarks.corruptions.kinds import KINDS, Kind
from benchmarks.corruptions.not_found import not_found
from benchmarks.corruptions.pinned_code import Code, facts_key
from benchmarks.corruptions.sound_sets import parallel, plain, prose
from config.errors import RejectionReason
from config.questions.wording import parse
from config.records import Trajectory
from tests.support.tiny_student import make_tiny_student
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.curate.replay import Replay

LENGTH = 16384  # the tiny student has about two characters per token
ROOMS = (stale, doctored, aspects, claims, turns, texts)  # importing them registers their kinds
NO_FAULT = {RejectionReason.DUPLICATE, RejectionReason.SAMPLED_OUT}
"""these say nothing about the example itself"""
Sets = Mapping[str, Sequence[Trajectory]]


@dataclass(frozen=True)
class Planted:
    """A broken trajectory, its kind and what curation says of it."""

    kind: Kind
    sound: Trajectory
    broken: Trajectory
    found: dict[str, str] = field(default_factory=dict)
    """reason -> detail, of the reasons that the sound original does not have"""

    @property
    def with_expect(self) -> bool:
        """Whether curation saw the prompt's `expect`."""
        return self.broken.expect is not None


@dataclass(frozen=True)
class Table:
    """The result."""

    planted: Sequence[Planted]
    rejected: Mapping[str, tuple[Sequence[tuple[Trajectory, dict[str, str]]], int]]
    """sound set -> (rejected trajectories with their reasons, size)"""

    @property
    def share_caught(self) -> float:
        """Share of the planted faults that curation rejects."""
        return sum(bool(p.found) for p in self.planted) / len(self.planted) if self.planted else 0.0

    def rows(self) -> dict[str, dict[str, int]]:
        """Counts per kind."""
        found: dict[str, dict[str, int]] = {}
        for p in self.planted:
            zero = {"caught_with": 0, "with": 0, "caught_without": 0, "without": 0, "named": 0, "total": 0}
            row = found.setdefault(p.kind.name, zero)
            column = "with" if p.with_expect else "without"
            row[column] += 1
            row[f"caught_{column}"] += bool(p.found)
            row["named"] += bool(p.kind.reasons & p.found.keys())
            row["total"] += 1
        return found

    def text(self) -> str:
        """The table for people."""
        rows = self.rows()
        lines = [f"{'kind':52} {'with expect':>11} {'without':>9} {'named':>6} {'total':>6}"]
        shown = [*rows.items(), ("all", {key: sum(row[key] for row in rows.values()) for key in _KEYS})]
        for name, row in shown:
            pair, other = f"{row['caught_with']}/{row['with']}", f"{row['caught_without']}/{row['without']}"
            lines.append(f"{name:52} {pair:>11} {other:>9} {row['named']:6} {row['total']:6}")
        caught = sum(bool(p.found) for p in self.planted)
        lines.append(f"{len(rows)} kinds: {caught} of {len(self.planted)} caught ({self.share_caught:.2%})")
        for name, (rejected, size) in self.rejected.items():
            lines.append(f"sound, {name}: {len(rejected)} of {size} rejected ({len(rejected) / max(1, size):.2%})")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """The counts."""
        sound = {name: {"rejected": len(rejected), "of": size} for name, (rejected, size) in self.rejected.items()}
        caught = sum(bool(p.found) for p in self.planted)
        return {"kinds": self.rows(), "caught": caught, "total": len(self.planted), "sound": sound}

    def show(self, number: int, *, review: bool) -> None:
        """Print examples on stderr: what was missed, or with `review` what was planted; sound ones rejected."""
        shown: dict[str, int] = {}
        for p in self.planted:
            if (review or not p.found) and shown.setdefault(p.kind.name, 0) < number:
                shown[p.kind.name] += 1
                print(f"--- {p.kind.name} {_example(p)}", file=sys.stderr)
        for name, (rejected, _) in self.rejected.items():
            for trajectory, reasons in rejected[:number]:
                print(f"--- rejected, {name}: {reasons}\n{_conversation(trajectory)}", file=sys.stderr)


_KEYS = ("caught_with", "with", "caught_without", "without", "named", "total")


def _example(p: Planted) -> str:
    state = f"caught: {p.found}" if p.found else "MISSED"
    return f"({state}; expect {p.broken.expect})\n{_conversation(p.broken)}\n  sound: {p.sound.answer!r}"


def _conversation(t: Trajectory) -> str:
    lines = []
    for message in t.messages:
        calls = " ".join(f"{call.name}{call.arguments}" for call in message.tool_calls)
        lines.append(f"  {message.role}: {(message.content or '')[:400]!r} {calls}")
    return "\n".join(lines)


def make_sets(code: Code, size: int, seed: int) -> Sets:
    """The sound sets."""
    return {
        "plain": list(plain(code, size, seed)),
        "parallel": list(parallel(code, size, seed + 1)),
        "not found": list(not_found(code, size, seed + 2)),
        "prose": list(prose(code, size, seed + 3)),
    }


def plant(code: Code, sets: Sets, each: int, seed: int, *, only: Sequence[str] = ()) -> list[Planted]:
    """Each kind in up to `each` trajectories. Every second one loses its `expect`.

    Raises:
        ValueError: a kind could be planted nowhere, or changed nothing.
    """
    planted: list[Planted] = []
    for number, kind in enumerate(KINDS.values()):
        if only and not any(text in kind.name for text in only):
            continue
        rng = random.Random(seed * 1000 + number)
        pool = [t for name in kind.sets for t in sets[name]]
        made: list[Planted] = []
        for sound in rng.sample(pool, len(pool)):
            if len(made) == each:
                break
            if (broken := kind.plant(sound, code, rng)) is None:
                continue
            if broken.messages == sound.messages and broken == sound:
                raise ValueError(f"{kind.name!r} changed nothing in {sound.job_id!r}")
            fields = {
                "job_id": f"{kind.name}/{len(made)}",
                **({"expect": None} if len(made) % 2 and not kind.needs_expect else {}),
            }
            made.append(Planted(kind, sound, broken.model_copy(update=fields)))
        if not made:
            raise ValueError(f"{kind.name!r} could be planted in none of {len(pool)} sound trajectories")
        planted += made
    return planted


def measure(
    code: Code, sets: Sets, each: int, seed: int, folder: Path, *, only: Sequence[str] = (), replay: bool = True
) -> Table:
    """Plant and curate. Without `replay`, as where the pinned code is not on the machine."""
    replayed = Replay(folder / "cache") if replay else None
    planted = plant(code, sets, each, seed, only=only)
    student = make_tiny_student(folder / "student")
    sound = {name: _reasons(whole, student, folder / f"sound-{name}", replayed) for name, whole in sets.items()}
    known = {job: reasons for found in sound.values() for job, reasons in found.items()}
    for number, batch in enumerate(_batches(planted)):
        found = _reasons([p.broken for p in batch], student, folder / f"batch-{number}", replayed)
        for p in batch:
            p.found.update({r: d for r, d in found[p.broken.job_id].items() if r not in known[p.sound.job_id]})
    rejected = {
        name: [(t, sound[name][t.job_id]) for t in whole if sound[name][t.job_id]] for name, whole in sets.items()
    }
    return Table(planted, {name: (found, len(sets[name])) for name, found in rejected.items()})


def _batches(planted: Sequence[Planted]) -> list[list[Planted]]:
    """Batches without a question twice: it would be a duplicate, or contradict itself, and be rejected for that."""
    batches: list[list[Planted]] = []
    seen: list[set[tuple[str, ...]]] = []
    for p in planted:
        question = parse(p.sound.prompt)
        key = facts_key(question) if question else (p.sound.prompt,)  # the same for every wording of a question
        place = next((i for i, keys in enumerate(seen) if key not in keys), len(batches))
        if place == len(batches):
            batches.append([])
            seen.append(set())
        batches[place].append(p)
        seen[place].add(key)
    return batches


def _reasons(
    trajectories: Sequence[Trajectory], student: Path, out: Path, replay: Replay | None
) -> dict[str, dict[str, str]]:
    """job_id -> reason -> detail, of the whole curate stage."""
    options = Options(max_seq_length=LENGTH)
    curated = curate(trajectories, out=out, options=options, student=student, replay=replay)
    return {
        verdict.job_id: {str(f.reason): f.detail for f in verdict.findings if f.reason not in NO_FAULT}
        for verdict in curated.verdicts()
    }
