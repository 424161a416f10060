"""The curate stage: checks trajectories and writes a dataset directory, with a verdict on each trajectory."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from config.atomic_files import replace_directory, writing
from config.errors import UsageError
from config.records import JsonObject, Split, Trajectory, Verdict
from config.version import version
from worker.curate import dataset, parquet
from worker.curate.card import card
from worker.curate.checks import all_checks
from worker.curate.evaluation import Evaluation
from worker.curate.evaluation import write as write_evaluation
from worker.curate.filters import (
    Splitting,
    reject_contradictions,
    reject_duplicates,
    reject_other_systems,
    reject_unproven,
    sample_down,
    split_kept,
    split_seed,
)
from worker.curate.licences import licence_of
from worker.curate.options import Options, Summary
from worker.curate.replay import Replay
from worker.curate.review.examples import Example, judgement, write_examples
from worker.curate.review.marks import Mark, marks_file, read_marks
from worker.curate.review.precision import measure
from worker.curate.row import CuratedRow, read_row
from worker.curate.split import leaks
from worker.curate.spool import Spool
from worker.curate.summary import summarise, trains_on_all_roles
from worker.models.resolve import hub_name
from worker.student.tokenizer import Student

Trajectories = Callable[[], Iterable[Trajectory]] | Iterable[Trajectory]
Progress = Callable[[int], None]
"""Called with the number of trajectories read so far."""


@dataclass(frozen=True)
class Curated:
    """Result of a curation: the counts and the metadata of each trajectory."""

    summary: Summary
    entries: Sequence[CuratedRow]

    def verdicts(self) -> Iterator[Verdict]:
        """One per trajectory, in an order that does not depend on the input order."""
        return (entry.verdict for entry in self.entries)


def curate(
    trajectories: Trajectories,
    *,
    out: Path,
    options: Options,
    student: Path | None,
    replay: Replay | None = None,
    progress: Progress | None = None,
    broken: Callable[[], int] = lambda: 0,
    evaluation: Evaluation | None = None,
) -> Curated:
    """Check, render and split the trajectories, and verify the loss mask. Replaces `out` atomically.

    Args:
        trajectories: each is read once and not kept in memory.
        replay: executes the recorded calls again; None leaves that out.
        broken: returns the number of unreadable input lines; called at the end.
        evaluation: how the run evaluates, written into the dataset; None for a dataset that is not a run's.

    Raises:
        UsageError: the student is unusable, `out` contains something other than a dataset, or its marks are damaged.
    """
    dataset.require_free(out)
    marks = read_marks(marks_file(out))
    if options.parquet:
        parquet.require()
    model = _student(student, options)
    with ExitStack() as stack:
        with writing(out):
            place = stack.enter_context(replace_directory(out))
        spool = stack.enter_context(Spool(place))
        entries = _read(trajectories, options, model, spool, progress, replay)
        return _write(entries, place, options, model, spool, broken(), replay, marks, evaluation)


def _student(student: Path | None, options: Options) -> Student | None:
    if options.format == "seed-text":
        return None
    if student is None:
        raise UsageError(f"the format {options.format!r} needs the student's chat template: add --student MODEL")
    model = Student(student)
    model.require_tools()
    return model


def _read(
    trajectories: Trajectories,
    options: Options,
    student: Student | None,
    spool: Spool,
    progress: Progress | None,
    replay: Replay | None,
) -> list[CuratedRow]:
    special = student.special if student else frozenset()
    checks = all_checks(max_calls=options.max_calls, special=special, keep_wrong=options.keep_wrong)
    checks += (replay.check,) if replay else ()
    entries: list[CuratedRow] = []
    for trajectory in trajectories() if callable(trajectories) else trajectories:
        entries.append(read_row(trajectory, checks=checks, options=options, student=student, spool=spool))
        if progress:
            progress(len(entries))
    if options.format != "seed-text":  # seed-text keeps the file order
        entries.sort(key=lambda entry: (entry.order, entry.run_id))
    return entries


def _write(
    entries: list[CuratedRow],
    place: Path,
    options: Options,
    student: Student | None,
    spool: Spool,
    broken: int,
    replay: Replay | None,
    marks: Sequence[Mark],
    evaluation: Evaluation | None,
) -> Curated:
    reject_other_systems(entries)
    reject_duplicates(entries)
    reject_contradictions(entries)
    reject_unproven(entries, foreign_allowed=trains_on_all_roles(options))
    sample_down(entries, options.no_tools_share)
    seeded = options.format == "seed-text"
    splitting = split_seed(entries) if seeded else split_kept(entries, options)
    sides = splitting.sides
    content_hash = dataset.write_splits(place, sides, spool, mixed=not seeded)
    if options.parquet:
        for split in (split for split, side in sides.items() if side):
            parquet.copy(place / dataset.SPLIT_FILES[split], place / f"{split}.parquet")
    dataset.write_rejected(place, entries)
    questions = dataset.write_questions(place, sides, spool)
    if evaluation:
        pins = (entry.pin for entry in entries if entry.kept and entry.pin)
        write_evaluation(place, evaluation, pins, unseen=not splitting.whole_codebases)
    found = _leaks(sides)
    summary = summarise(entries, splitting, options, content_hash=content_hash, leaks=found["keys"], broken=broken)
    summary = replace(summary, replayed=replay.counts() if replay else None)
    examples = [
        Example(job_id=e.job_id, run_id=e.run_id, kept=judgement(e.verdict), content=e.content) for e in entries
    ]
    write_examples(place, examples)
    manifest = _manifest(entries, summary, options, student, found, questions, splitting)
    if marks:
        manifest["review"] = measure(examples, marks).as_json()
    dataset.write_json(place / dataset.MANIFEST, manifest)
    (place / dataset.CARD).write_text(card(manifest), encoding="utf-8")
    return Curated(summary, entries)


def _leaks(sides: dict[Split, list[CuratedRow]]) -> dict[str, dict[str, int]]:
    """Prompts and grouping keys that occur in two splits, counted in the written splits."""
    return {
        "prompts": leaks({split: {entry.member.prompt for entry in side} for split, side in sides.items()}),
        "keys": leaks({split: {key for e in side for key in e.member.keys} for split, side in sides.items()}),
    }


def _manifest(
    entries: Sequence[CuratedRow],
    summary: Summary,
    options: Options,
    student: Student | None,
    found: dict[str, dict[str, int]],
    questions: dict[str, int],
    splitting: Splitting,
) -> JsonObject:
    kept = [entry for entry in entries if entry.kept]
    counts = summary.as_json()
    model, revision = hub_name(student.directory) if student else (None, None)
    lost: Counter[str] = Counter()
    for entry in entries:
        if entry.lost_calls:
            lost[entry.teacher or "not recorded"] += entry.lost_calls
    return {
        "applejack": version(),
        "schema_version": 1,
        "content_hash": summary.content_hash,
        "format": options.format,
        "max_seq_length": options.applied()["max_seq_length"],
        "student": model,
        "revision": revision,
        "template_hash": student.template_hash if student else None,
        "toolset_digest": _only({entry.toolset for entry in kept}),
        "teachers": dict(sorted(Counter(entry.teacher or "not recorded" for entry in kept).items())),
        "lost_calls": dict(sorted(lost.items())),
        "source_run": options.source_run or _only({entry.run_id for entry in kept}),
        "workspaces": {place: licence_of(place) for place in sorted({e.workspace for e in kept if e.workspace})},
        **{key: counts[key] for key in ("read", "kept", "rejected", "broken", "reasons", "splits")},
        **{key: counts[key] for key in ("correct", "kept_correct", "replayed")},
        **{key: counts[key] for key in ("with_tools", "without_tools", "skipped", "by_category", "by_tool")},
        "turns_per_trajectory": {str(n): c for n, c in sorted(Counter(entry.turns for entry in kept).items())},
        "tokens": _tokens(kept),
        "limits": dict(summary.limits),
        "split_rule": splitting.rule,
        "leaks": {name: dict(pairs) for name, pairs in found.items()},
        **questions,
        "loss_proof": summary.loss_proof,
        "options": options.applied(),
        "warnings": list(summary.warnings),
    }


def _tokens(kept: Sequence[CuratedRow]) -> JsonObject:
    lengths = sorted(entry.tokens for entry in kept)
    return {"median": lengths[len(lengths) // 2], "longest": lengths[-1]} if lengths else {}


def _only(values: set[str]) -> str | None:
    """The only value; several values become one hash of all of them, independent of their order."""
    real = sorted(value for value in values if value)
    if len(real) > 1:
        return "mixed-" + hashlib.sha256("\0".join(real).encode()).hexdigest()[:16]
    return real[0] if real else None
