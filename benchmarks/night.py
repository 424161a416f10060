"""Replays a night with four faults, then its morning: python -m benchmarks.night [--jobs 2000] [--images DIR]

Four real workers with a scripted model server each: one is healthy, one is slow and leaves some requests unanswered,
one loses its model server for a part of the night, one serves another model than the run requests. 5% of the prompts
are bad: no model answers them well. When the run has ended, a real Flower and a headless Chromium go through the
morning: what happened, why, what to do, done.

It prints what the night did and the seconds of each step of the morning. With --images the screenshots of the docs are
written there. The last line is JSON.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from config.records import JobState, JsonObject
from producer.run_status import RunStatus, status
from tests.support.flower_site import chromium, flower_site
from tests.support.night.images import shrink
from tests.support.night.morning import Seen, in_the_terminal, morning
from tests.support.night.night import RUN, Night, night

PATIENCE = 3_600.0  # seconds for the night


def main() -> int:
    """Replay, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2_000, help="of the night's run")
    parser.add_argument("--images", type=Path, help="folder for the screenshots [default: none are kept]")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="applejack-night-")))
        images = options.images or folder
        images.mkdir(parents=True, exist_ok=True)
        made = stack.enter_context(night(folder))
        made.submit(options.jobs)
        seconds = made.pass_until(made.is_over, patience=PATIENCE)
        ended = status(made.ledger, RUN)
        print_night(ended, seconds)
        steps = list(go_through(made, folder, images))
        again = status(made.ledger, RUN)
        print_morning(steps)
        if options.images:
            sizes = {step.image.name: shrink(step.image) for step in steps if step.image}
            print(f"images: {', '.join(f'{name} {size // 1000} kB' for name, size in sizes.items())}")
    print(json.dumps({**night_json(ended, seconds), **morning_json(steps, again)}))
    return 0


def go_through(made: Night, folder: Path, images: Path) -> list[Seen]:
    """The steps of the morning, in the terminal and in the browser."""
    home = folder / "flower"
    home.mkdir()
    with flower_site(home, made.server.url) as site, chromium() as browser:
        return [*in_the_terminal(made, site), *morning(made, site, browser, images)]


def print_night(ended: RunStatus, seconds: float) -> None:
    """What the night did."""
    print(f"{ended.total:,} jobs in {seconds:.0f} s: {ended.generated:,} generated, {ended.failed:,} failed")
    print(f"  kept {ended.kept:,}, rejected {ended.rejected:,}")
    for name, counts in sorted(ended.by_worker.items()):
        print(f"  {name:20} {counts.get('generated', 0):6,} generated {counts.get('failed', 0):5,} failed")
    for title, causes in (("failed", ended.kinds), ("rejected", ended.reasons)):
        for cause, count in sorted(causes.items(), key=lambda pair: -pair[1]):
            print(f"  {title:8} {cause:24} {count:5,}")


def print_morning(steps: Sequence[Seen]) -> None:
    """What was seen in the terminal, and how long each step took."""
    for step in steps:
        if step.image is None and step.step in {"status", "dry run"}:
            print(step.words)
    for step in steps:
        print(f"  {step.step:12} {step.seconds:7.2f} s")


def night_json(ended: RunStatus, seconds: float) -> JsonObject:
    """The night for programs."""
    return {
        "jobs": ended.total,
        "seconds": round(seconds, 1),
        "generated": ended.generated,
        "failed": ended.failed,
        "kept": ended.kept,
        "rejected": ended.rejected,
        "by_worker": ended.by_worker_json(),
        "kinds": dict(ended.kinds),
        "reasons": dict(ended.reasons),
    }


def morning_json(steps: Sequence[Seen], again: RunStatus) -> JsonObject:
    """The morning for programs; `again`: the run at its end."""
    return {
        "steps": {step.step: round(step.seconds, 2) for step in steps},
        "after": {JobState.FAILED.value: again.failed, "kept": again.kept, "rejected": again.rejected},
    }


if __name__ == "__main__":
    sys.exit(main())
