"""Measures what the journal and the search for secrets cost: python -m benchmarks.safety_costs [--jobs 160]

Generation: the same jobs on two workers, with and without a journal and masking. A job has three model requests, which
take a fixed time, and two tool calls, one of which reads a file. Both workers are warm and take turns.
Curation: trajectories whose tool results are Python files, curated with and without the check for secrets, in turns.
Prints the ratio of the best times of --repeats runs, and each part's own time. Other load only adds to these times.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.curate_speed import curated, make
from benchmarks.overhead import CODE, PER_JOB, PYTHON_FILES, Fleet, Took, best, write_code
from config.journal import Journal
from config.records import JsonObject, Trajectory
from tests.support.tiny_student import make_tiny_student
from worker.curate import checks
from worker.secrets import mask
from worker.tools.tools import READ_LINES

WITHOUT = "tests.support.planted.without_safety"


def main() -> int:
    """Measure both and print one object at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=160, help="per run")
    parser.add_argument("--seconds", type=float, default=1.0, help="per model request")
    parser.add_argument("--at-once", type=int, default=4, help="jobs in flight")
    parser.add_argument("--count", type=int, default=5000, help="trajectories to curate")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(curation(*given.child)))
        return 0
    with tempfile.TemporaryDirectory(prefix="applejack-safety-") as name:
        folder = Path(name)
        parts = measure_parts(folder)
        ratios = {"generation": generate(given, folder), "curation": curate(given, folder)}
    print(json.dumps(ratios | parts))
    return 0


def measure_parts(folder: Path) -> JsonObject:
    """Milliseconds of one journal entry, synced to this disk, and of one search of a 10 kB file, each the median."""
    journal, text = Journal(folder / "journal", "worker"), (CODE / "settings.py").read_text()[:10_000]
    trajectory = trajectories(1)[0]
    entry = median_ms(lambda: journal.add(trajectory))
    search = median_ms(lambda: mask(text))
    size = len(trajectory.model_dump_json(exclude_defaults=True)) / 1000
    print(f"one journal entry of {size:.0f} kB {entry:.2f} ms, one search of {len(text) / 1000:.0f} kB {search:.2f} ms")
    return {"entry_ms": round(entry, 3), "search_ms": round(search, 3)}


def median_ms(action, times: int = 201) -> float:
    """The median of this many runs, in milliseconds."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        took.append(time.perf_counter() - started)
    return sorted(took)[times // 2] * 1000


def generate(given: argparse.Namespace, folder: Path) -> float:
    """The time with both as a multiple of the time without."""
    code = folder / "code"
    write_code(code, PYTHON_FILES)
    with (
        Fleet(folder, code, workers=1, at_once=given.at_once) as ours,
        Fleet(folder, code, workers=1, at_once=given.at_once, app=WITHOUT) as plain,
    ):
        pairs = [
            (plain.run(code, given.seconds, given.jobs), ours.run(code, given.seconds, given.jobs))
            for _ in range(given.repeats)
        ]
    without, with_ = best([pair[0] for pair in pairs]), best([pair[1] for pair in pairs])
    floor = given.jobs * PER_JOB * given.seconds / given.at_once
    print(f"generation, {given.jobs} jobs, {given.at_once} at once (the endpoint alone: {floor:.1f} s)")
    return compared(without, with_)


def curate(given: argparse.Namespace, folder: Path) -> float:
    """The time with the check as a multiple of the time without, in the turns format."""
    file = folder / "trajectories.jsonl"
    lines = [trajectory.model_dump_json() for trajectory in trajectories(given.count)]
    file.write_text("".join(f"{line}\n" for line in lines))
    student = make_tiny_student(folder / "student")
    command = [sys.executable, "-m", "benchmarks.safety_costs", "--child"]

    def run(check: str) -> Took:
        ran = [*command, check, str(file), str(student), str(folder / "out")]
        return Took(*json.loads(subprocess.run(ran, check=True, stdout=subprocess.PIPE, text=True).stdout))

    pairs = [(run("without"), run("with")) for _ in range(given.repeats)]
    print(f"curation, {given.count} trajectories, {file.stat().st_size / 1e6:.0f} MB")
    return compared(best([pair[0] for pair in pairs]), best([pair[1] for pair in pairs]))


def curation(check: str, file: str, student: str, out: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one curation in this process."""
    if check == "without":
        checks.leaked_secret = lambda _: iter(())
    started, spent = time.perf_counter(), time.process_time()
    curated(Path(file), Path(student), Path(out), "turns")
    return time.perf_counter() - started, time.process_time() - spent


def compared(without: Took, with_: Took) -> float:
    """Print the times; their ratio."""
    ratio = with_.seconds / without.seconds
    print(f"  without {without.seconds:7.2f} s, {without.cpu:6.1f} s of CPU")
    print(f"  with    {with_.seconds:7.2f} s, {with_.cpu:6.1f} s of CPU: {ratio:.3f} times", flush=True)
    return round(ratio, 3)


def trajectories(count: int) -> list[Trajectory]:
    """Sound ones, which read a Python file of this project each."""
    code = [path.read_text() for path in sorted(CODE.rglob("*.py")) if path.stat().st_size > 4000]
    sources = [numbered(text) for text in code if "<|" not in text]  # chat markup would be rejected
    made = []
    for number in range(count):
        trajectory = make(number, 3000)
        messages = list(trajectory.messages)
        messages[4] = messages[4].model_copy(update={"content": sources[number % len(sources)]})
        made.append(trajectory.model_copy(update={"messages": tuple(messages)}))
    return made


def numbered(text: str) -> str:
    """Its first lines, as read_file gives them."""
    return "\n".join(f"{number}: {line}" for number, line in enumerate(text.split("\n")[:READ_LINES], start=1))


if __name__ == "__main__":
    sys.exit(main())
