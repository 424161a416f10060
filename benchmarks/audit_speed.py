"""Measures speed and memory of `audit` and of json.loads on the same lines: python benchmarks/audit_speed.py

Each measurement runs in its own child process, so that peak memory is measured separately.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from worker.curate.audit import audit

KB = 1 if sys.platform == "linux" else 1024  # ru_maxrss is in KB on Linux, in bytes on macOS
SOURCE = (Path(__file__).parent.parent / "worker/curate/audit/rows.py").read_text(encoding="utf-8")
CALL = 'I\'ll use the grep tool.\n\n```json\n{"name": "grep", "arguments": {"pattern": "row %d"}}\n```'


def main() -> None:
    """Print rows/s, MB/s and peak RSS of audit and json.loads, for text and messages rows."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=20_000, help="number of rows")
    arguments.add_argument("--bytes", type=int, default=10_000, help="size of one row")
    arguments.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        measure(*given.one)
        return
    with tempfile.TemporaryDirectory() as directory:
        for kind in ("text", "messages"):
            file = Path(directory) / kind / "train.jsonl"
            file.parent.mkdir()
            with file.open("w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(row) + "\n" for row in rows(kind, given.rows, given.bytes))
            size = file.stat().st_size / 1e6
            times = {what: run(what, file) for what in ("loads", "audit")}
            for what, (seconds, peak) in times.items():
                print(
                    f"{kind:>8} {what:>6}: {given.rows / seconds:8.0f} rows/s {size / seconds:7.1f} MB/s {peak:6.0f} MB"
                )
            print(f"{kind:>8} audit takes {times['audit'][0] / times['loads'][0]:.1f} times json.loads; {size:.0f} MB")


def rows(kind: str, count: int, size: int) -> Iterator[dict[str, object]]:
    """Rows of about `size` bytes, most of them a tool result."""
    body = (SOURCE * (1 + size // len(SOURCE)))[: size - 500]
    for number in range(count):
        turns = [
            ("system", "You answer questions about code."),
            ("user", f"Where is row {number}?"),
            ("assistant", CALL % number),
            ("user", f"Tool result: {number}\n{body}"),
            ("assistant", f"In line {number}."),
        ]
        if kind == "text":
            yield {"text": "\n".join(f"<|im_start|>{role}\n{text}<|im_end|>" for role, text in turns)}
        else:
            yield {"messages": [{"role": role, "content": text} for role, text in turns]}


def run(what: str, file: Path) -> tuple[float, float]:
    """(seconds, peak MB) of reading the file once in a child process."""
    child = [sys.executable, __file__, "--one", what, str(file)]
    seconds, peak = subprocess.run(child, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(peak)


def measure(what: str, file: str) -> None:
    """Read the file once and print seconds and peak MB."""
    start = time.perf_counter()
    if what == "audit":
        audit([Path(file)])
    else:
        with Path(file).open("rb") as lines:
            for line in lines:
                json.loads(line)
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB / 1000)


if __name__ == "__main__":
    main()
