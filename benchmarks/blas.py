"""Measures how much cpu_blas/blas.py speeds up mlx on this CPU: python benchmarks/blas.py [--student DIR]

Each line is measured twice in the same run, without and with the library, in child processes. Only the ratios are
comparable: the absolute numbers depend on the machine and its load.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from worker.student.cpu_blas import blas

SECONDS = 1.5  # per product
PRODUCTS = {  # rows, columns, inner: the layers of a 135M llama
    "1 row, head": (1, 49152, 576),
    "1 row, ffn": (1, 1536, 576),
    "4 rows, ffn": (4, 1536, 576),
    "256 rows, ffn": (256, 1536, 576),
    "64 rows, head": (64, 49152, 576),
}
PROMPT_TOKENS = 256
NEW_TOKENS = 32


def products() -> dict[str, float]:
    """GFLOPS per matrix product."""
    import mlx.core as mx

    rates = {}
    for name, (rows, columns, inner) in PRODUCTS.items():
        left, right = mx.random.normal((rows, inner)), mx.random.normal((columns, inner))
        mx.eval(left, right)
        mx.eval(left @ right.T)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS:
            mx.eval(left @ right.T)
            count += 1
        rates[name + ", GFLOPS"] = 2e-9 * rows * columns * inner * count / (time.perf_counter() - started)
    return rates


def model(student: str) -> dict[str, float]:
    """Tokens per second of one request."""
    from mlx_lm import load, stream_generate

    loaded, tokenizer = load(student)
    prompt = tokenizer.encode("word " * PROMPT_TOKENS)[:PROMPT_TOKENS]
    last = None
    *_, last = stream_generate(loaded, tokenizer, prompt, max_tokens=NEW_TOKENS)
    return {"prompt, tokens/s": last.prompt_tps, "decoding, tokens/s": last.generation_tps}


def measured(student: str | None, environment: dict[str, str]) -> dict[str, float]:
    """Measure in a child process."""
    command = [sys.executable, str(Path(__file__)), "--child", *(["--student", student] if student else [])]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", help="model directory with float32 weights; also measure its tokens per second")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(products() | (model(args.student) if args.student else {})))
        return
    shipped, fast = measured(args.student, {}), measured(args.student, blas.fast_blas())
    for name, rate in shipped.items():
        print(f"{name:28} {rate:9.1f} -> {fast[name]:9.1f}   x {fast[name] / rate:.1f}")


if __name__ == "__main__":
    main()
