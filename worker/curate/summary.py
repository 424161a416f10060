"""Summarises a curation: counts of read, kept and rejected examples, rejection reasons, and warnings."""

from collections import Counter
from collections.abc import Mapping, Sequence

from config.errors import RejectionReason
from config.records import Split
from worker.curate.filters import Splitting
from worker.curate.loss_mask import proof, total
from worker.curate.options import Options, Summary
from worker.curate.row import CuratedRow

LIMITS = (2048, 4096, 8192, 16384, 32768)  # common context lengths for training
NO_TOOL_SHARE = 0.10  # with a smaller share students call tools for everything
CHAIN_SHARE = 0.05  # of examples with two or more calls; with a smaller share students never chain calls
BATCH = 4  # mlx_lm's default batch size; it raises with fewer rows
SEED_LEAKS = "the seed pipeline's split ignores groups; --format text or turns keeps each group in one split"
GIVEN_LEAKS = "their prompts request different splits; request the same one for all wordings of a question"
CAUSES_NAMED = 3  # of a failed loss proof
FEWEST_HELD_OUT = 3  # questions of a category
CATEGORIES_NAMED = 8
MIN_EXAMPLES = 20  # shares of fewer examples mean nothing


def summarise(
    entries: Sequence[CuratedRow],
    splitting: Splitting,
    options: Options,
    *,
    content_hash: str,
    leaks: Mapping[str, int],
    broken: int,
) -> Summary:
    """The Summary of filtered rows."""
    kept, sides = [entry for entry in entries if entry.kept], splitting.sides
    reasons = Counter(reason for entry in entries for reason in entry.verdict.reasons)
    seeded = options.format == "seed-text"
    loss_proof = (
        {}
        if seeded
        else proof(
            total(entry.losses for entry in kept), foreign_allowed=trains_on_all_roles(options), causes=_causes(kept)
        )
    )
    rows = {split: sum(len(entry.rows) for entry in sides[split]) for split in sides}
    return Summary(
        read=len(entries),
        kept=len(kept),
        rejected=len(entries) - len(kept),
        reasons={reason.value: reasons[reason] for reason in RejectionReason if reasons[reason]},
        with_tools=sum(bool(entry.tools) for entry in kept),
        without_tools=sum(not entry.tools for entry in kept),
        skipped=sum(entry.skipped for entry in entries),
        correct=_correct(entries),
        kept_correct=_correct(kept),
        splits=dict(rows.items()),
        content_hash=content_hash,
        by_category=dict(sorted(Counter(entry.category for entry in kept).items())),
        by_tool=dict(sorted(Counter(name for entry in kept for name in entry.tools).items())),
        limits=_limits(entries, options.max_seq_length),
        warnings=(
            *_warnings(kept, rows, loss_proof, leaks, broken, seeded=seeded),
            *filter(None, (_few_held_out(kept, sides["test"]), splitting.warning)),
        ),
        loss_proof=loss_proof,
        broken=broken,
    )


def _causes(kept: Sequence[CuratedRow]) -> list[str]:
    """The most frequent causes of a failed loss proof, each with one evidence."""
    counts = Counter(cause for entry in kept for cause in entry.unproven)
    evidence = {cause: text for entry in kept for cause, text in entry.unproven.items()}
    return [
        f"{cause} ({count} of {len(kept)} examples, one has {evidence[cause]})"
        for cause, count in counts.most_common(CAUSES_NAMED)
    ]


def _correct(entries: Sequence[CuratedRow]) -> dict[str, int]:
    graded = [entry.correct for entry in entries if entry.correct is not None]
    return {"count": sum(graded), "of": len(graded)}


def trains_on_all_roles(options: Options) -> bool:
    """Whether the format trains on the tokens of all roles."""
    return options.format == "text"


def _limits(entries: Sequence[CuratedRow], limit: int) -> dict[str, int]:
    """Number of examples that each longer limit would keep, of those rejected only for their length."""
    lengths = [entry.tokens for entry in entries if entry.verdict.reasons == (RejectionReason.OVER_LENGTH,)]
    return {str(longer): sum(n <= longer for n in lengths) for longer in LIMITS if longer > limit and lengths}


def _warnings(
    kept: Sequence[CuratedRow],
    rows: Mapping[Split, int],
    loss_proof: Mapping[str, object],
    leaks: Mapping[str, int],
    broken: int,
    *,
    seeded: bool,
) -> list[str]:
    found: list[str] = []
    if broken:
        found.append(f"{broken} lines could not be read")
    if not kept:
        return [*found, "nothing was kept"]
    without, chains = (sum(test(e) for e in kept) / len(kept) for test in (_no_tools, _chains))
    if len(kept) >= MIN_EXAMPLES and without < NO_TOOL_SHARE:
        found.append(
            f"{without:.0%} examples without tools: below {NO_TOOL_SHARE:.0%} students call tools for everything"
        )
    if len(kept) >= MIN_EXAMPLES and chains < CHAIN_SHARE:
        found.append(
            f"{chains:.0%} examples with two or more calls: below {CHAIN_SHARE:.0%} students never chain calls"
        )
    for split, count in rows.items():
        if 0 < count < BATCH:
            found.append(f"{split} has {count} rows, fewer than mlx_lm's batch of {BATCH}")
    for pair, count in leaks.items():
        if count:
            found.append(
                f"{count} questions or subjects are in both splits of {pair}: {SEED_LEAKS if seeded else GIVEN_LEAKS}"
            )
    if loss_proof and not loss_proof["passed"]:
        faults = loss_proof["faults"]
        found.append(f"the loss proof fails: {'; '.join(map(str, faults)) if isinstance(faults, list) else faults}")
    share = loss_proof.get("foreign_share", 0.0)
    if isinstance(share, float) and share > 0:
        found.append(
            f"{share:.0%} of the loss is on tokens that the assistant did not write; --format turns avoids this"
        )
    return found


def _few_held_out(kept: Sequence[CuratedRow], held_out: Sequence[CuratedRow]) -> str:
    """A line that names the categories with too few held-out questions; "" if there are none."""
    if len(kept) < MIN_EXAMPLES or not held_out:
        return ""
    questions = {(entry.category, entry.member.prompt) for entry in held_out}
    counts = Counter(category for category, _ in questions)
    few = [f"{name} {counts[name]}" for name in sorted({e.category for e in kept}) if counts[name] < FEWEST_HELD_OUT]
    if not few:
        return ""
    more = f" and {len(few) - CATEGORIES_NAMED} more" if len(few) > CATEGORIES_NAMED else ""
    return (
        f"few held-out questions: {', '.join(few[:CATEGORIES_NAMED])}{more}; below "
        f"{FEWEST_HELD_OUT} a category's rate tells nothing: ask more prompts of it, or raise --test-share"
    )


def _no_tools(entry: CuratedRow) -> bool:
    return not entry.tools


def _chains(entry: CuratedRow) -> bool:
    return len(entry.tools) > 1
