"""Compares a run with injected faults to one without: python -m benchmarks.chaos --faults 200 --jobs 5000 --seed 1

Faults are drawn from the seed and spread over the run. Workers and their model servers are killed and suspended.
Networks are cut, stalled and lost. The broker is killed, with or without the last second of its append-only file. Its
queue and its list of unacknowledged messages are flushed. A person cancels and pauses the run and pauses workers, and
resumes them after a moment. The broker loses everything (FLUSHALL) or gets an older state back, and a worker loses its
disk; a person then runs `applejack recover` with the journals that are left. Each worker supervises its own model
server, a process that answers over HTTP like the scripted teacher, always the same. A rollout is slowed down to at
least --seconds-per-job. Prints progress to stderr, then a table of the injected faults and the verdict. The exit code
is 1 if the results of the two runs differ.
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
    parser.add_argument("--faults", type=int, default=200, help="number of faults to inject")
    parser.add_argument("--jobs", type=int, default=5000, help="number of jobs per run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=4, help="jobs at once per worker")
    parser.add_argument(
        "--seconds-per-job",
        type=float,
        default=0.5,
        help="minimum duration in the run with faults; the other run is not slowed down",
    )
    parser.add_argument("--patience", type=float, default=7200, help="seconds after which a run counts as hung")
    parser.add_argument("--dir", type=Path, help="keep logs, journals and Redis in this new folder")
    given = parser.parse_args()
    if given.dir:
        given.dir.mkdir(parents=True)
        return run(given, given.dir.resolve())
    with tempfile.TemporaryDirectory(prefix="applejack-chaos-") as folder:
        return run(given, Path(folder))


def run(given: argparse.Namespace, folder: Path) -> int:
    """Run both and return the exit code."""
    workspace = folder / "workspace"
    for source in SOURCES:
        shutil.copytree(CODE / source, workspace / source, ignore=shutil.ignore_patterns("__pycache__"))
    student = make_tiny_student(folder / "student")
    prompts = mine([workspace], count=given.jobs, seed=given.seed)
    faults = schedule(given.seed, faults=given.faults, jobs=given.jobs)
    traces: dict[str, Trace] = {}
    options = {"job_seconds": given.seconds_per_job, "concurrency": given.concurrency}
    with fleet(folder, workers=given.workers, **options) as macs:
        for run_id, storm in ((CALM, []), (STORM, faults)):
            print(
                f"{run_id}: {len(prompts)} jobs, {len(storm)} faults, seed {given.seed}",
                file=sys.stderr,
                flush=True,
            )
            ledger = submit(macs, run_id, prompts, workspace=workspace, student=student)
            seconds = weather(macs, ledger, run_id, storm, seconds=given.patience)
            traces[run_id] = trace(ledger, run_id, folder, seconds=seconds)
    calm, storm_ = traces[CALM], traces[STORM]
    print(f"{given.jobs} jobs, {given.workers} workers of {given.concurrency}, lease {LEASE:g} s, seed {given.seed}")
    for kind in Kind:
        print(f"  {macs.done[kind]:5d} {kind.value}")
    print(f"  {macs.done.total():5d} faults in total, one of them on the curating worker")
    print("since data was last lost:")
    print(
        f"jobs by number of starts: {dict(sorted(storm_.deliveries.items()))}; leases expired: {storm_.lost}; "
        f"released: {storm_.handed_back}"
    )
    print(f"curation started {storm_.curations} times; kept {storm_.status.kept}, rejected {storm_.status.rejected}")
    print(f"calm {calm.seconds:.0f} s (not slowed down), storm {storm_.seconds:.0f} s")
    print(f"content hash calm  {calm.summary.get('content_hash')}")
    print(f"content hash storm {storm_.summary.get('content_hash')}")
    recovery = macs.person.recovery
    print(
        f"recovered {recovery.times} times, {recovery.restored} trajectories put back; submitted again "
        f"{recovery.submitted_again} times"
    )
    broken = [*damage(calm, storm_, given.jobs), *macs.ended, *recovery.wrong]
    for line in broken:
        print(f"BROKEN: {line}")
    print("verdict: " + ("the runs differ" if broken else "nothing lost, nothing duplicated, the same dataset"))
    summary = {"seed": given.seed, "jobs": given.jobs, "faults": macs.done.total(), "by_kind": dict(macs.done)}
    print(json.dumps(summary | {"broken": broken, "seconds": round(storm_.seconds)}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
