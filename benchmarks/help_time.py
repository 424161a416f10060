"""Measure what `--help` costs above a bare Python: python -m benchmarks.help_time [--runs N] [COMMAND...]

Bare Python, `applejack --help` and each COMMAND's --help take turns, so that a busy machine slows all of them. Prints
the fastest of N runs in seconds of wall time, and what it is above that of bare Python.
"""

import argparse
import subprocess
import sys
import time

MAIN = "from producer.cli import main; main()"


def seconds(code: str, *arguments: str) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", help="also measure these commands")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    rows = {"python -c pass": ("pass",), "applejack --help": (MAIN, "--help")}
    rows |= {f"applejack {name} --help": (MAIN, name, "--help") for name in options.commands}
    fastest = dict.fromkeys(rows, float("inf"))
    for _ in range(options.runs):
        for name, arguments in rows.items():
            fastest[name] = min(fastest[name], seconds(*arguments))
    bare = fastest["python -c pass"]
    for name, found in fastest.items():
        print(f"{found:6.3f} s  {found - bare:+.3f} s  {name}")


if __name__ == "__main__":
    main()
