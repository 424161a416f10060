"""The concurrency controller against every fixed setting, simulated: python benchmarks/concurrency.py [--json].

The reference is the fixed setting with the highest mean throughput among those that lose no job with any seed; each
seed's ratio is to that setting with the same seed and the same jobs. "right" are the limits worth at least 95% of it.
Throughput is in output tokens of attempts that did not fail, after the first 60 s; "5 min" counts from the start.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.server_profiles import FIRST, MOST, OTHERS, PROFILES, WARM_UP, Outcome, Profile, Worker
from worker.concurrency.controller import ConcurrencyController

SETTINGS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 28, 32)
GOAL = 0.95  # of the best fixed setting's throughput


@dataclass(frozen=True)
class Row:
    """One profile: the best fixed setting, and the worst of the controller's seeds."""

    profile: str
    best: int
    tokens_per_second: float
    right: tuple[int, int]
    ratio: float
    ratio_5_min: float
    reached: float
    """seconds until the limit was right, infinite if never"""
    limit: float
    """mean over the time after the warm-up"""
    changes: float
    """of the limit per minute after the warm-up, the most of any seed"""
    failed: int
    """attempts, all seeds together"""
    lost: int
    failed_fixed: int


def main() -> None:
    """Print the table, and with --json one object at the end."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    out = sys.stderr if given.json else sys.stdout
    print(
        f"worst of {given.seeds} seeds   best  tok/s   right   ratio  5 min  reached  limit  changes/min"
        "  failed  lost  (failed at best)",
        file=out,
    )
    rows = []
    for profile in (*PROFILES, *OTHERS):
        row = measure(profile, range(1, given.seeds + 1))
        rows.append(row)
        print(
            f"{row.profile:18}  {row.best:4} {row.tokens_per_second:6.1f}  {row.right[0]:2}-{row.right[1]:2}  "
            f"{row.ratio:6.1%} {row.ratio_5_min:6.1%}  {row.reached:5.0f} s  {row.limit:5.1f}  {row.changes:11.1f}"
            f"  {row.failed:6}  {row.lost:4}  ({row.failed_fixed})",
            file=out,
            flush=True,
        )
    met = all(row.ratio >= GOAL and row.lost == 0 and row.reached <= WARM_UP for row in rows[: len(PROFILES)])
    if given.json:
        print(json.dumps({"goal": GOAL, "met": met, "seeds": given.seeds, "profiles": [asdict(row) for row in rows]}))
    sys.exit(0 if met else 1)


def measure(profile: Profile, seeds: range, settings: tuple[int, ...] = SETTINGS) -> Row:
    """Every fixed setting and the controller, on the same jobs."""
    seconds = profile.seconds
    fixed = {limit: [Worker(profile, seed, fixed=limit).run(seconds) for seed in seeds] for limit in settings}
    rates = {limit: sum(one.rate(WARM_UP, seconds) for one in runs) / len(runs) for limit, runs in fixed.items()}
    sound = [limit for limit in settings if not any(one.lost for one in fixed[limit])]
    best = max(sound, key=lambda limit: rates[limit])
    right = [limit for limit in range(1, MOST + 1) if between(rates, limit) >= GOAL * rates[best]]
    runs = [Worker(profile, seed, controller=ConcurrencyController(most=MOST)).run(seconds) for seed in seeds]
    pairs = list(zip(runs, fixed[best], strict=True))
    return Row(
        profile=profile.name,
        best=best,
        tokens_per_second=rates[best],
        right=(right[0], right[-1]),
        ratio=min(one.rate(WARM_UP, seconds) / other.rate(WARM_UP, seconds) for one, other in pairs),
        ratio_5_min=min(one.rate(0, FIRST) / other.rate(0, FIRST) for one, other in pairs),
        reached=max(reached(one, right) for one in runs),
        limit=sum(mean_limit(one, seconds) for one in runs) / len(runs),
        changes=max(sum(at > WARM_UP for at, _, _ in one.limits) for one in runs) / (seconds - WARM_UP) * 60,
        failed=sum(one.failed for one in runs),
        lost=sum(one.lost for one in runs),
        failed_fixed=sum(one.failed for one in fixed[best]),
    )


def between(rates: dict[int, float], limit: int) -> float:
    """The rate at a limit that may lie between two that were tried."""
    low = max(tried for tried in rates if tried <= limit)
    high = min((tried for tried in rates if tried >= limit), default=low)
    share = (limit - low) / (high - low) if high > low else 0.0
    return rates[low] + share * (rates[high] - rates[low])


def reached(outcome: Outcome, right: list[int]) -> float:
    """Seconds until the limit was first a right one."""
    return next((at for at, limit, _ in outcome.limits if limit in right), float("inf"))


def mean_limit(outcome: Outcome, seconds: float) -> float:
    """Mean limit after the warm-up, sampled every second."""
    times = range(int(WARM_UP), int(seconds))
    return sum(outcome.limit_at(when) for when in times) / len(times)


if __name__ == "__main__":
    main()
