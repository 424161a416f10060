"""Assigns groups to splits: each category gets its share of each split, and whole codebases are held out."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from config.records import Split
from worker.curate.split import SPLITS, SplitItem, groups

LEEWAY = 2  # times the test share that one codebase may take: codebases are few and cannot be divided
ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996


@dataclass(frozen=True)
class HeldOut:
    """The codebases that are held out as a whole."""

    codebases: frozenset[str] = frozenset()
    why_none: str = ""
    """why none is, where there are several; in one clause"""


def held_out_codebases(members: Sequence[SplitItem], *, test_share: float, seed: int) -> HeldOut:
    """Choose whole codebases for the test split, in the order of a hash of seed and codebase.

    A codebase can be held out if it has at most LEEWAY times the test share of the questions about code. The first of
    these is taken, and more while they fit the share. None is where prompts request their splits.
    """
    counts = Counter(member.codebase for member in members if member.codebase)
    if len(counts) < 2 or not test_share:
        return HeldOut()
    if any(member.asked for member in members):
        return HeldOut(why_none="the prompts request their own splits")
    most = test_share * counts.total()
    small = sorted((name for name, number in counts.items() if number <= LEEWAY * most), key=lambda n: _order(seed, n))
    if not small:
        return HeldOut(
            why_none=f"the smallest of {len(counts)} has {min(counts.values()) / counts.total():.0%} of the questions "
            f"about code, more than {LEEWAY} times the test share of {test_share:.0%}; raise --test-share, or mine "
            "fewer questions about one of them"
        )
    chosen, number = {small[0]}, counts[small[0]]
    for name in small[1:]:
        if number + counts[name] <= most and len(chosen) + 1 < len(counts):
            chosen.add(name)
            number += counts[name]
    return HeldOut(frozenset(chosen))


def assign(
    members: Sequence[SplitItem],
    *,
    valid_share: float,
    test_share: float,
    seed: int,
    held_out: Collection[str] = (),
) -> list[Split]:
    """A split for each member; groups in `held_out` are test.

    A split requested with a prompt is used. If one prompt has two, the held-out one wins. Members without a requested
    split follow their group's. The other groups fill first test, then valid, in the order of a hash of seed and group:
    each stratum gets its share (see `quotas`), then the split its total; a group that would overfill a split goes to
    train. No split with a share above 0 stays empty while groups are left.
    """
    group_of = groups(members)
    strata: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_prompt: defaultdict[str, set[Split]] = defaultdict(set)
    by_group: defaultdict[str, set[Split]] = defaultdict(set)
    for member, group in zip(members, group_of, strict=True):
        strata[group][member.stratum] += 1
        if member.asked:
            by_prompt[member.prompt].add(member.asked)
            by_group[group].add(member.asked)
    chosen: dict[str, Split] = dict.fromkeys((group for group in strata if group in held_out), "test")
    chosen |= {group: _strictest(requested) for group, requested in by_group.items()}
    filled: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
    for member, group in zip(members, group_of, strict=True):
        if member.prompt in by_prompt:
            filled[_strictest(by_prompt[member.prompt])][member.stratum] += 1
        elif group in held_out:
            filled["test"][member.stratum] += 1
    free = sorted((group for group in strata if group not in chosen), key=lambda group: _order(seed, group))
    sizes = Counter(member.stratum for member in members)
    shares: tuple[tuple[Split, float], ...] = (("test", test_share), ("valid", valid_share))
    for split, share in shares:
        open_groups = [group for group in free if group not in chosen]
        taken = _fill(open_groups, strata, quotas(sizes, share, seed=seed), share, filled[split])
        chosen |= dict.fromkeys(taken, split)
    return [
        _strictest(by_prompt[member.prompt]) if member.prompt in by_prompt else chosen.get(group, "train")
        for member, group in zip(members, group_of, strict=True)
    ]


def quotas(sizes: Mapping[str, int], share: float, *, seed: int) -> dict[str, int]:
    """The share of each stratum in whole members, by largest remainder; the sum is the share of all members.

    Equal remainders are ordered by a hash of seed and stratum.
    """
    exact = {stratum: share * size for stratum, size in sizes.items()}
    whole = {stratum: int(value + ROUNDING) for stratum, value in exact.items()}
    left = round(share * sum(sizes.values())) - sum(whole.values())
    ordered = sorted(sizes, key=lambda stratum: (round(whole[stratum] - exact[stratum], 9), _order(seed, stratum)))
    return {stratum: number + (stratum in ordered[: max(left, 0)]) for stratum, number in whole.items()}


def _fill(
    free: Sequence[str],
    strata: Mapping[str, Counter[str]],
    wanted: Mapping[str, int],
    share: float,
    filled: Counter[str],
) -> list[str]:
    """The groups that one split takes: first those within the quotas, then those that fill more of them than they
    exceed, then any that fit the total."""
    total, taken = sum(wanted.values()), list[str]()

    def take(fits: Callable[[Counter[str]], bool]) -> None:
        for group in free:
            if group not in known and filled.total() + strata[group].total() <= total and fits(strata[group]):
                add(group)

    def add(group: str) -> None:
        known.add(group)
        taken.append(group)
        filled.update(strata[group])

    known: set[str] = set()
    take(lambda counts: all(filled[stratum] + number <= wanted[stratum] for stratum, number in counts.items()))
    take(lambda counts: sum(_gain(wanted[name] - filled[name], number) for name, number in counts.items()) > 0)
    take(lambda _: True)
    left = [group for group in free if group not in known]
    if share > 0 and not filled and len(left) > 1:
        add(min(left, key=lambda group: strata[group].total()))
    return taken


def _gain(missing: int, number: int) -> int:
    """How many of `number` members fill a quota, less those that exceed it."""
    useful = min(max(missing, 0), number)
    return useful - (number - useful)


def _strictest(requested: set[Split]) -> Split:
    return next(split for split in ("test", "valid", "train") if split in requested)


def _order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed} {group}".encode()).digest()
