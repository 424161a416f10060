"""A long run in a storm against the same in calm weather: python -m benchmarks.chaos --faults 200 --jobs 5000 --seed 1

Workers and their model servers are killed and suspended, networks cut, stalled and lost, the broker killed with and
without the last second of its append-only file, its queue and its list of messages in hand flushed, all drawn from the
seed and spread over the run. Prints a table of the faults done and the verdict; the exit code is 1 when the storm left
a trace. Each worker supervises a model server of its own, a process that answers over HTTP as the scripted teacher
does: the same every time. A rollout is held back to last at least --seconds-per-job.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from producer.mining.mine import mine
from tests.support.chaos.faults import Kind, schedule
from tests.support.chaos.fleet import LEASE, fleet
from tests.support.chaos.storm import CALM, STORM, Trace, damage, submit, trace, weather
from tests.support.tiny_student import make_tiny_student

CODE = Path(__file__).resolve().parent.parent
SOURCES = ("config", "producer", "worker")


def main() -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=4, help="jobs at once in a worker")
    parser.add_argument(
        "--seconds-per-job", type=float, default=0.5, help="in the storm; the calm run is not held back"
    )
    parser.add_argument("--patience", type=float, default=7200, help="seconds after which a run counts as hung")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="applejack-chaos-") as folder:
        return run(asked, Path(folder))


def run(asked: argparse.Namespace, folder: Path) -> int:
    """The exit code."""
    workspace = folder / "workspace"
    for source in SOURCES:
        shutil.copytree(CODE / source, workspace / source, ignore=shutil.ignore_patterns("__pycache__"))
    student = make_tiny_student(folder / "student")
    prompts = mine([workspace], count=asked.jobs, seed=asked.seed)
    faults = schedule(asked.seed, faults=asked.faults, jobs=asked.jobs)
    traces: dict[str, Trace] = {}
    options = {"job_seconds": asked.seconds_per_job, "concurrency": asked.concurrency}
    with fleet(folder, workers=asked.workers, **options) as macs:
        for run_id, storm in ((CALM, []), (STORM, faults)):
            print(f"{run_id}: {len(prompts)} jobs, {len(storm)} faults, seed {asked.seed}", file=sys.stderr, flush=True)
            ledger = submit(macs, run_id, prompts, workspace=workspace, student=student)
            seconds = weather(macs, ledger, run_id, storm, seconds=asked.patience)
            traces[run_id] = trace(ledger, run_id, folder, seconds=seconds)
    calm, storm_ = traces[CALM], traces[STORM]
    print(f"{asked.jobs} jobs, {asked.workers} workers of {asked.concurrency}, lease {LEASE:g} s, seed {asked.seed}")
    for kind in Kind:
        print(f"  {macs.done[kind]:5d} {kind.value}")
    print(f"  {macs.done.total():5d} faults in all, one of them on whoever was curating")
    begun = storm_.deliveries
    print(
        f"jobs by times begun: {dict(sorted(begun.items()))}; leases lapsed: {storm_.lost}; "
        f"handed back: {storm_.handed_back}"
    )
    print(f"curation begun {storm_.curations} times; kept {storm_.status.kept}, rejected {storm_.status.rejected}")
    print(f"calm {calm.seconds:.0f} s (not held back), storm {storm_.seconds:.0f} s")
    print(f"content hash calm  {calm.summary.get('content_hash')}")
    print(f"content hash storm {storm_.summary.get('content_hash')}")
    broken = [*damage(calm, storm_, asked.jobs), *macs.ended]
    for line in broken:
        print(f"BROKEN: {line}")
    print("verdict: " + ("the storm left a trace" if broken else "nothing lost, nothing doubled, the same dataset"))
    said = {"seed": asked.seed, "jobs": asked.jobs, "faults": macs.done.total(), "by_kind": dict(macs.done)}
    print(json.dumps(said | {"broken": broken, "seconds": round(storm_.seconds)}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
