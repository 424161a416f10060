"""Estimated memory against what mlx allocates, for training steps and KV caches on the CPU.

python -m benchmarks.memory_budget [--model DIRECTORY]    minutes: mlx compiles each model's kernels

Random models of a few layers stand for real ones: batches of 1 and 2, rows of 255 and 511 tokens, with and without
gradient checkpointing, float32, bfloat16 and 4 bits. --model measures one on disk instead. The last line is JSON.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import types
from pathlib import Path

from worker.device.model_memory import Model, TrainingShape

RANK = 8
SMALL = {
    "model_type": "qwen2", "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": False, "max_position_embeddings": 32768,
}  # fmt: skip
# Proportions of real models: a large vocabulary (Qwen), a wide MLP (7B), many heads, more layers.
VARIANTS = {
    "small": {},
    "vocabulary": {"vocab_size": 8192},
    "wide": {"intermediate_size": 2048},
    "heads": {"num_attention_heads": 16},
    "deep": {"num_hidden_layers": 8},
}
QUANTIZED = {"bits": 4, "group_size": 64}


def cases(model: Path | None) -> list[dict]:
    """What is measured; each case in a process of its own."""
    shapes = [
        {"batch": batch, "tokens": tokens, "checkpoint": checkpoint}
        for batch, tokens in ((1, 255), (2, 255), (1, 511))
        for checkpoint in (False, True)
    ]
    if model:
        return [{"name": model.name, "directory": str(model), **shape} for shape in shapes]
    kinds = [("float32", None), ("bfloat16", None), ("bfloat16", QUANTIZED)]
    return [
        {"name": f"{name} {'4 bit' if bits else kind}", "config": config(variant, kind, bits), **shape}
        for name, variant in VARIANTS.items()
        for kind, bits in kinds
        for shape in (shapes if name == "small" else shapes[:2])
    ]


def config(variant: dict, kind: str, bits: dict | None) -> dict:
    """A config.json."""
    return {**SMALL, **variant, "torch_dtype": kind, **({"quantization": bits} if bits else {})}


def measure(case: dict) -> dict:
    """In the child: the peak of two training steps, and the KV cache after as many tokens."""
    import mlx.core as mx
    import mlx_lm
    import numpy as np
    from mlx import nn
    from mlx.utils import tree_flatten
    from mlx_lm import lora
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import _get_classes

    if "directory" in case:
        model = mlx_lm.load(case["directory"])[0]
    else:
        described = case["config"]
        kind, arguments = _get_classes(described)
        model = kind(arguments.from_dict(described))
        model.set_dtype(getattr(mx, described["torch_dtype"]))
        if described.get("quantization"):
            nn.quantize(model, **described["quantization"])
    mx.eval(model.parameters())
    weights = sum(value.nbytes for _, value in tree_flatten(model.parameters()))
    cache = make_prompt_cache(model)
    mx.eval(model(mx.array([[1] * case["tokens"]]), cache=cache))
    kv = sum(layer.nbytes for layer in cache)
    del cache
    mx.clear_cache()
    mx.reset_peak_memory()
    options = {
        **lora.CONFIG_DEFAULTS,
        **{"train": True, "num_layers": -1 if "config" in case else 16, "iters": 2, "batch_size": case["batch"]},
        **{"grad_checkpoint": case["checkpoint"], "max_seq_length": case["tokens"] + 64},
    }
    options["num_layers"] = len(model.layers) if options["num_layers"] < 0 else options["num_layers"]

    class Rows(list):
        """Rows of token ids, in the form that mlx_lm's CacheDataset asks for."""

        def process(self, row: tuple) -> tuple:
            return row

    row = ([int(token) for token in np.random.default_rng(0).integers(1, 1000, case["tokens"])], 0)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = types.SimpleNamespace(**{**options, "adapter_path": folder})
        lora.train_model(arguments, model, Rows([row] * case["batch"]), Rows())
    return {"weights": weights, "kv": kv, "peak": mx.get_peak_memory(), "layers": options["num_layers"]}


def compared(case: dict) -> dict:
    """One case: estimates divided by measurements."""
    command = [sys.executable, "-m", "benchmarks.memory_budget", "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    seen = json.loads(done.stdout.splitlines()[-1])
    described = case.get("config") or json.loads((Path(case["directory"]) / "config.json").read_text())
    model = Model.from_config(case["name"], described, weights=seen["weights"])
    shape = TrainingShape(case["tokens"], case["batch"], seen["layers"], RANK)
    estimated = model.training_bytes(shape, checkpoint=case["checkpoint"])
    return {
        **{key: case[key] for key in ("name", "batch", "tokens", "checkpoint")},
        "measured_mb": round(seen["peak"] / 1e6, 1),
        "estimated_mb": round(estimated / 1e6, 1),
        "ratio": round(estimated / seen["peak"], 2),
        "kv_ratio": round(model.kv_bytes(case["tokens"]) / seen["kv"], 2),
    }


def main() -> None:
    """Measure every case and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model directory to measure instead of random ones")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(json.loads(arguments.case))))
        return
    rows = []
    print(f"{'model':<22}{'batch':>6}{'tokens':>8}  checkpoint{'measured':>11}{'estimated':>11}{'ratio':>7}{'KV':>6}")
    for case in cases(arguments.model):
        row = compared(case)
        rows.append(row)
        print(
            f"{row['name']:<22}{row['batch']:>6}{row['tokens']:>8}  {'yes' if row['checkpoint'] else 'no':<10}"
            f"{row['measured_mb']:>8} MB{row['estimated_mb']:>8} MB{row['ratio']:>7.2f}{row['kv_ratio']:>6.2f}",
            flush=True,
        )
    ratios, kv = [row["ratio"] for row in rows], [row["kv_ratio"] for row in rows]
    print(json.dumps({"cases": len(rows), "ratio": [min(ratios), max(ratios)], "kv_ratio": [min(kv), max(kv)]}))


if __name__ == "__main__":
    main()
