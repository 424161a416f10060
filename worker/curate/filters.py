"""What only the whole set shows: duplicates, unproven rows, the mix, the splits."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from config.errors import RejectionReason
from config.records import Split
from worker.curate import seed_text
from worker.curate.dedup import SeenIndex
from worker.curate.options import Options
from worker.curate.row import CuratedRow
from worker.curate.split import assign


def reject_duplicates(entries: Sequence[CuratedRow]) -> None:
    """Of each set of repeats, the first in the given order stays."""
    seen = SeenIndex()
    for number, entry in enumerate(entries):
        if not entry.kept:
            continue
        if match := seen.match(entry.print_):
            first, alike = match
            how = "repeats" if alike == 1.0 else f"is {alike:.0%} like"
            entry.reject(RejectionReason.DUPLICATE, f"{how} {entries[first].job_id}")
        else:
            seen.add(number, entry.print_)


def reject_contradictions(entries: Sequence[CuratedRow]) -> None:
    """Answers to one question, however worded, that state different numbers: those of the fewest go, all of a tie."""
    answers: defaultdict[bytes, list[CuratedRow]] = defaultdict(list)
    for entry in entries:
        if entry.kept and entry.claim:
            answers[entry.claim.question].append(entry)
    for asked in answers.values():
        stated = Counter(entry.claim.number for entry in asked if entry.claim)
        most = max(stated.values())
        told = ", ".join(str(number) for number in sorted(stated))
        for entry in asked:
            if len(stated) > 1 and entry.claim and (stated[entry.claim.number] < most or _tied(stated)):
                detail = f"answers to one question differ ({told}); this one says {entry.claim.number}"
                entry.reject(RejectionReason.FABRICATED_RESULT, detail)


def _tied(stated: Counter[int]) -> bool:
    return sum(times == max(stated.values()) for times in stated.values()) > 1


def reject_unproven(entries: Sequence[CuratedRow], *, foreign_allowed: bool) -> None:
    """Single trajectories that fail the loss proof are rejected; when all of them do, the dataset says so instead."""
    kept = [entry for entry in entries if entry.kept]
    faulty = [(entry, faults) for entry in kept if (faults := entry.losses.faults(foreign_allowed=foreign_allowed))]
    if len(faulty) < len(kept):
        for entry, faults in faulty:
            entry.reject(RejectionReason.MALFORMED, f"loss proof: {'; '.join(faults)}")


def sample_down(entries: Sequence[CuratedRow], share: float | None) -> None:
    """Leave out examples without tools until they are at most `share` of what is kept; the last in order go first."""
    if share is None:
        return
    without = [entry for entry in entries if entry.kept and not entry.tools]
    with_tools = sum(entry.kept and bool(entry.tools) for entry in entries)
    if not with_tools or share >= 1:
        return
    allowed = int(with_tools * share / (1 - share) + 1e-9)
    for entry in without[allowed:]:
        entry.reject(RejectionReason.SAMPLED_OUT, f"more than {share:.0%} examples without tools")


def split_kept(entries: Sequence[CuratedRow], options: Options) -> dict[Split, list[CuratedRow]]:
    """The kept entries of each split, in the given order."""
    kept = [entry for entry in entries if entry.kept]
    assigned = assign(
        [entry.member for entry in kept],
        valid_share=options.valid_share,
        test_share=options.test_share,
        seed=options.seed,
    )
    sides: dict[Split, list[CuratedRow]] = {"train": [], "valid": [], "test": []}
    for entry, split in zip(kept, assigned, strict=True):
        sides[split].append(entry)
    return sides


def split_seed(entries: Sequence[CuratedRow]) -> dict[Split, list[CuratedRow]]:
    """The seed pipeline's split of the kept entries, which are in file order."""
    kept = [entry for entry in entries if entry.kept]
    train, valid = seed_text.split(kept)
    return {"train": train, "valid": valid, "test": []}
