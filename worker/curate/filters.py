"""Filters that need the whole set: duplicates, contradictions, loss faults, the share without tools, the splits."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import RejectionReason
from config.records import Split
from worker.curate import seed_text
from worker.curate.assign import HeldOut, assign, held_out_codebases
from worker.curate.dedup import SeenIndex
from worker.curate.options import Options
from worker.curate.row import CuratedRow
from worker.curate.split import RULE_HELD_OUT, RULE_PROMPT, RULE_SEED, RULE_WORKSPACE


def reject_duplicates(entries: Sequence[CuratedRow]) -> None:
    """Keep the first of each set of duplicates, in the given order."""
    seen = SeenIndex()
    for number, entry in enumerate(entries):
        if not entry.kept:
            continue
        if match := seen.match(entry.print_):
            first, similarity = match
            relation = "repeats" if similarity == 1.0 else f"is {similarity:.0%} similar to"
            entry.reject(RejectionReason.DUPLICATE, f"{relation} {entries[first].job_id}")
        else:
            seen.add(number, entry.print_)


def reject_other_systems(entries: Sequence[CuratedRow]) -> None:
    """Reject trajectories with another system prompt than most of their run, which sends one and the same.

    All trajectories of a run count, failed ones as well; foreign ones without a prompt do not: it was not recorded.
    Several runs in one dataset may differ; the audit reports that as other_system. Without a majority, the run's prompt
    is unknown: those that applejack recorded are all rejected, and foreign ones are kept, because a set made elsewhere
    may vary the prompt on purpose.
    """
    runs: defaultdict[str, list[CuratedRow]] = defaultdict(list)
    for entry in entries:
        if entry.system.recorded:
            runs[entry.run_id].append(entry)
    for run_id, rows in runs.items():
        counts = Counter(row.system.digest for row in rows)
        (commonest, times), *others = counts.most_common(2)
        if not others:
            continue
        usual = next(row.system.start for row in rows if row.system.digest == commonest)
        for row in rows:
            detail = f"the system prompt is {row.system.start!r}, but "
            if times * 2 <= len(rows):
                if row.system.recorded_here:
                    detail += f"run {run_id!r} has {len(counts)} and none is the most common"
                    row.reject(RejectionReason.MALFORMED, detail)
            elif row.system.digest != commonest:
                row.reject(RejectionReason.MALFORMED, f"{detail}most of run {run_id!r} have {usual!r}")


def reject_contradictions(entries: Sequence[CuratedRow]) -> None:
    """Reject answers that state another number than most answers to the same question; in a tie, reject all."""
    answers: defaultdict[bytes, list[CuratedRow]] = defaultdict(list)
    for entry in entries:
        if entry.kept and entry.claim:
            answers[entry.claim.question].append(entry)
    for rows in answers.values():
        stated = Counter(row.claim.number for row in rows if row.claim)
        most = max(stated.values())
        numbers = ", ".join(str(number) for number in sorted(stated))
        for row in rows:
            if len(stated) > 1 and row.claim and (stated[row.claim.number] < most or _tied(stated)):
                detail = f"answers to the same question differ ({numbers}); this one states {row.claim.number}"
                row.reject(RejectionReason.UNSUPPORTED_CLAIM, detail)


def _tied(stated: Counter[int]) -> bool:
    return sum(times == max(stated.values()) for times in stated.values()) > 1


def reject_unproven(entries: Sequence[CuratedRow], *, foreign_allowed: bool) -> None:
    """Reject trajectories with loss faults. If all of them have faults, keep them: the summary reports it instead."""
    kept = [entry for entry in entries if entry.kept]
    faulty = [(entry, faults) for entry in kept if (faults := entry.losses.faults(foreign_allowed=foreign_allowed))]
    if len(faulty) < len(kept):
        for entry, faults in faulty:
            why = [f"{cause}: {evidence}" for cause, evidence in entry.unproven.items()]
            entry.reject(RejectionReason.MALFORMED, f"loss proof: {'; '.join(why or faults)}")


def sample_down(entries: Sequence[CuratedRow], share: float | None) -> None:
    """Reject examples without tools, the last ones first, until they are at most `share` of the kept examples."""
    if share is None:
        return
    without = [entry for entry in entries if entry.kept and not entry.tools]
    with_tools = sum(entry.kept and bool(entry.tools) for entry in entries)
    if not with_tools or share >= 1:
        return
    allowed = int(with_tools * share / (1 - share) + 1e-9)
    for entry in without[allowed:]:
        entry.reject(RejectionReason.SAMPLED_OUT, f"more than {share:.0%} examples without tools")


@dataclass(frozen=True)
class Splitting:
    """The kept rows of each split, in the given order, and how they were divided."""

    sides: dict[Split, list[CuratedRow]]
    rule: str
    whole_codebases: bool = False
    """whether all code that the test split asks about is in no other split"""
    warning: str = ""


def split_kept(entries: Sequence[CuratedRow], options: Options) -> Splitting:
    """Split the kept rows. With several codebases, whole ones are held out if the test share allows it."""
    kept = [entry for entry in entries if entry.kept]
    found, rule = HeldOut(), RULE_PROMPT
    if options.split_by == "auto":
        members = [entry.member for entry in kept]
        found = held_out_codebases(members, test_share=options.test_share, seed=options.seed)
    for entry in kept:
        if options.split_by == "workspace" or entry.member.codebase in found.codebases:
            entry.member = entry.member.by_codebase()
    if options.split_by == "workspace":
        rule = RULE_WORKSPACE
    elif found.codebases:
        names = sorted({entry.workspace for entry in kept if entry.member.codebase in found.codebases})
        rule = RULE_HELD_OUT.format(names=", ".join(_last_part(name) for name in names))
    assigned = assign(
        [entry.member for entry in kept],
        valid_share=options.valid_share,
        test_share=options.test_share,
        seed=options.seed,
        held_out=found.codebases,
    )
    splits: dict[Split, list[CuratedRow]] = {"train": [], "valid": [], "test": []}
    for entry, split in zip(kept, assigned, strict=True):
        splits[split].append(entry)
    return Splitting(
        splits,
        rule,
        whole_codebases=options.split_by == "workspace" or bool(found.codebases),
        warning=f"no codebase is held out as a whole: {found.why_none}" if found.why_none else "",
    )


def _last_part(name: str) -> str:
    """The last part of a path or URL, because cards are published."""
    return name.rstrip("/").rpartition("/")[2]


def split_seed(entries: Sequence[CuratedRow]) -> Splitting:
    """The seed pipeline's split of the kept rows, which are in file order."""
    kept = [entry for entry in entries if entry.kept]
    train, valid = seed_text.split(kept)
    return Splitting({"train": train, "valid": valid, "test": []}, RULE_SEED)
