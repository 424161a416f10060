"""Measures speed and memory of the curate stage: python benchmarks/curate_speed.py [--count 100000] [--kilobytes 10]

Writes trajectories to a temporary file and times two processes on it: curate, and a minimal baseline of json.loads and
the student's template on the same conversations. Prints MB/s, the ratio and the peak RSS.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from config.records import Message, Provenance, ToolCall, Trajectory
from tests.support.tiny_student import make_tiny_student
from worker.curate.options import Format, Options
from worker.curate.pipeline import curate
from worker.curate.sources import read
from worker.student.tokenizer import Student
from worker.tools.toolset import digest, schemas

WORDS = [
    "class",
    "def",
    "return",
    "import",
    "self",
    "value",
    "queue",
    "worker",
    "task",
    "result",
    "error",
    "broker",
    "message",
    "state",
    "config",
    "path",
    "name",
]
TOOLS = schemas(("grep", "read_file"))
LIMIT = 1 << 20  # nothing is too long here


def make(number: int, size: int) -> Trajectory:
    """One sound trajectory of about `size` bytes with two calls."""
    rng = random.Random(number)
    name = f"Thing{number}"
    code = "\n".join(f"{line}: {' '.join(rng.choices(WORDS, k=8))} {rng.random()}" for line in range(1, 60))
    while len(code) < size - 2500:
        code += f" {' '.join(rng.choices(WORDS, k=40))} {rng.random()}"
    messages = (
        Message(role="user", content=f"Where is the class {name} defined?"),
        Message(role="assistant", content="", tool_calls=(ToolCall(id="a", name="grep", arguments={"pattern": name}),)),
        Message(role="tool", tool_call_id="a", name="grep", content=f"src/mod{number}.py:1: class {name}(Base):"),
        Message(
            role="assistant",
            content="",
            tool_calls=(ToolCall(id="b", name="read_file", arguments={"path": f"src/mod{number}.py"}),),
        ),
        Message(role="tool", tool_call_id="b", name="read_file", content=code),
        Message(role="assistant", content=f"The class {name} is defined in src/mod{number}.py."),
    )
    return Trajectory(
        run_id="speed",
        job_id=f"{number:06d}-aaaaaaaa",
        prompt=str(messages[0].content),
        system_prompt="You answer questions about the code in your workspace.",
        tools=TOOLS,
        messages=messages,
        outcome="completed",
        provenance=Provenance(
            teacher="none", endpoint="none", worker="w", applejack_version="0", toolset_digest=digest(TOOLS)
        ),
    )


def plain(file: Path, student: Path) -> int:
    """The baseline: json.loads and one rendering per row, without validation."""
    model = Student(student)
    done = 0
    for line in file.open("rb"):
        record = Trajectory.model_construct(**json.loads(line))
        messages = [{"role": "system", "content": record.system_prompt}]
        for message in record.messages:
            raw = dict(message)  # type: ignore[call-overload]
            raw["content"] = raw["content"] or ""
            if raw["tool_calls"]:
                raw["tool_calls"] = [{"type": "function", "function": call} for call in raw["tool_calls"]]
            messages.append(raw)
        model.render(messages, record.tools)  # type: ignore[arg-type]
        done += 1
    return done


def curated(file: Path, student: Path, out: Path, format_: Format) -> int:
    """Run the curate stage."""
    options = Options(format=format_, max_seq_length=LIMIT)
    found = curate(
        lambda: (sourced.trajectory for sourced in read([file]) if sourced.trajectory),
        out=out,
        options=options,
        student=student,
    ).summary
    assert found.kept == found.read, found.reasons
    return found.read


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Seconds, CPU seconds and peak RSS in MB of this process, imports included."""
    started = time.perf_counter()
    done = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes, Linux kilobytes
    return {
        "done": done,
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time(),
        "peak_mb": peak / unit,
    }


def child(name: str, *given: str) -> dict[str, float]:
    """One measurement in its own process."""
    completed = subprocess.run(
        [sys.executable, __file__, "--child", name, *given], check=True, stdout=subprocess.PIPE, text=True
    )
    answer: dict[str, float] = json.loads(completed.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Write the file, measure both processes, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="number of trajectories")
    parser.add_argument("--kilobytes", type=float, default=10, help="size of one trajectory")
    parser.add_argument("--format", choices=("text", "turns"), default="text")
    parser.add_argument("--student", type=Path, help="model directory; default: a tiny model with one token per byte")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, file, student, out, format_ = options.child
        work = {
            "plain": lambda: plain(Path(file), Path(student)),
            "curate": lambda: curated(Path(file), Path(student), Path(out), format_),
        }[name]
        print(json.dumps(measured(work)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trajectories.jsonl"
        with file.open("w", encoding="utf-8") as stream:
            for number in range(options.count):
                stream.write(make(number, int(options.kilobytes * 1000)).model_dump_json() + "\n")
        student = options.student or make_tiny_student(Path(folder) / "student")
        given = (str(file), str(student), str(Path(folder) / "out"), options.format)
        megabytes = file.stat().st_size / 1e6
        print(f"{options.count} trajectories, {megabytes:.0f} MB, format {options.format}")
        base = child("plain", *given)
        ours = child("curate", *given)
    for name, measurement in (("json.loads + template", base), ("curate", ours)):
        rate = megabytes / measurement["seconds"]
        used = f"{measurement['seconds']:8.1f} s {measurement['cpu']:8.1f} CPU s"
        print(f"{name:22} {used} {rate:7.2f} MB/s  peak {measurement['peak_mb']:6.0f} MB")
    print(f"ratio {ours['seconds'] / base['seconds']:.2f}, in CPU seconds {ours['cpu'] / base['cpu']:.2f}")


if __name__ == "__main__":
    main()
