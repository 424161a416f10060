"""Compares the concurrency controller with fixed limits in a simulation: python benchmarks/concurrency.py [--json]

The reference is the fixed limit with the highest mean throughput among those that lose no job with any seed. Each
ratio compares the controller with it, with the same seed and the same jobs. "right" is the range of limits that reach
at least 95% of its throughput. Throughput counts the output tokens of attempts that did not fail, after the first 60 s.
"5 min" counts from the start.
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
    """One profile: the best fixed limit, and the worst of the controller's seeds."""

    profile: str
    best: int
    tokens_per_second: float
    right: tuple[int, int]
    ratio: float
    ratio_5_min: float
    reached: float
    """seconds until the limit was in the right range; infinite if never"""
    limit: float
    """mean after the warm-up"""
    changes: float
    """of the limit, per minute after the warm-up; maximum over the seeds"""
    failed: int
    """attempts, over all seeds"""
    lost: int
    failed_fixed: int


def main() -> None:
    """Print the table, and one JSON object at the end with --json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=5, help="number of seeds per profile")
    arguments.add_argument("--json", action="store_true", help="print one JSON object as the last line")
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
    """Run every fixed limit and the controller on the same jobs."""
    seconds = profile.seconds
    fixed = {limit: [Worker(profile, seed, fixed=limit).run(seconds) for seed in seeds] for limit in settings}
    rates = {limit: sum(run.rate(WARM_UP, seconds) for run in runs) / len(runs) for limit, runs in fixed.items()}
    lossless = [limit for limit in settings if not any(run.lost for run in fixed[limit])]
    best = max(lossless, key=lambda limit: rates[limit])
    right = [limit for limit in range(1, MOST + 1) if between(rates, limit) >= GOAL * rates[best]]
    runs = [Worker(profile, seed, controller=ConcurrencyController(most=MOST)).run(seconds) for seed in seeds]
    pairs = list(zip(runs, fixed[best], strict=True))
    return Row(
        profile=profile.name,
        best=best,
        tokens_per_second=rates[best],
        right=(right[0], right[-1]),
        ratio=min(run.rate(WARM_UP, seconds) / reference.rate(WARM_UP, seconds) for run, reference in pairs),
        ratio_5_min=min(run.rate(0, FIRST) / reference.rate(0, FIRST) for run, reference in pairs),
        reached=max(reached(run, right) for run in runs),
        limit=sum(mean_limit(run, seconds) for run in runs) / len(runs),
        changes=max(sum(at > WARM_UP for at, _, _ in run.limits) for run in runs) / (seconds - WARM_UP) * 60,
        failed=sum(run.failed for run in runs),
        lost=sum(run.lost for run in runs),
        failed_fixed=sum(run.failed for run in fixed[best]),
    )


def between(rates: dict[int, float], limit: int) -> float:
    """The rate at a limit, interpolated between the nearest two that were run."""
    low = max(tried for tried in rates if tried <= limit)
    high = min((tried for tried in rates if tried >= limit), default=low)
    share = (limit - low) / (high - low) if high > low else 0.0
    return rates[low] + share * (rates[high] - rates[low])


def reached(outcome: Outcome, right: list[int]) -> float:
    """Seconds until the limit was first in the right range."""
    return next((at for at, limit, _ in outcome.limits if limit in right), float("inf"))


def mean_limit(outcome: Outcome, seconds: float) -> float:
    """Mean limit after the warm-up, sampled every second."""
    times = range(int(WARM_UP), int(seconds))
    return sum(outcome.limit_at(when) for when in times) / len(times)


if __name__ == "__main__":
    main()
