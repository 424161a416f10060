"""Converts a LoRA adapter from PEFT's form to mlx_lm's: python -m worker.train.peft_child PEFT OUT STUDENT

Earlier weights of the same adapter, NNNNNNN_adapter_model.safetensors, become NNNNNNN_adapters.safetensors.
PEFT stores A as (rank, in) and B as (out, rank) under base_model.model.LAYER.lora_A.weight; mlx_lm their transposes
under LAYER.lora_a, with scale = lora_alpha / rank. Ends with one line on stderr if the adapter has no such form.
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import cast

import mlx.core as mx

from config.records import JsonObject

PEFT_WEIGHTS = "adapter_model.safetensors"
TENSOR = re.compile(r"base_model\.model\.(.*\.layers\.(\d+)\.(.+))\.lora_([AB])(?:\.default)?\.weight")
# PEFT's options that mlx_lm has no form for, with the value that means "not used"
UNUSED: JsonObject = {
    "use_dora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "bias": "none",
}


def convert(peft: Path, out: Path, student: Path) -> None:
    """Write adapters.safetensors and adapter_config.json to `out`. SystemExit names what cannot be converted."""
    config = json.loads((peft / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        sys.exit(f"peft_type is {config.get('peft_type')!r}, but mlx_lm has only LORA's form")
    for key, unused in UNUSED.items():
        if config.get(key, unused) not in (unused, None):
            sys.exit(f"{key} is {config[key]!r}, which mlx_lm has no form for")
    matched: dict[str, re.Match[str]] = {}
    for file in (*peft.glob(f"[0-9]*_{PEFT_WEIGHTS}"), peft / PEFT_WEIGHTS):
        weights, matched = _renamed(file)
        mx.save_safetensors(str(out / file.name.replace(PEFT_WEIGHTS, "adapters.safetensors")), weights)
    rank = int(config["r"])
    parameters: JsonObject = {
        "rank": rank,
        "scale": float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank),
        "dropout": 0.0,
        "keys": sorted({match[3] for match in matched.values()}),
    }
    layers = _layers(student) - min(int(match[2]) for match in matched.values())
    adapter = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters}
    (out / "adapter_config.json").write_text(json.dumps(adapter, indent=4) + "\n", encoding="utf-8")


def _renamed(file: Path) -> tuple[dict[str, mx.array], dict[str, re.Match[str]]]:
    """The weights in mlx_lm's form, and the parts of their names in PEFT's."""
    loaded = cast("dict[str, mx.array]", mx.load(str(file)))
    found = {name: match for name in loaded if (match := TENSOR.fullmatch(name))}
    if others := sorted(loaded.keys() - found.keys()) or ["an empty file"] * (not found):
        sys.exit(f"{others[0]!r} is not a LoRA matrix of a layer")
    return {f"{m[1]}.lora_{m[4].lower()}": mx.contiguous(loaded[name].T) for name, m in found.items()}, found


def _layers(student: Path) -> int:
    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    return int(config.get("text_config", config)["num_hidden_layers"])


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:4]))
