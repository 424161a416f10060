"""A LoRA adapter for the tiny student, written without training: its second matrices are random, or zero."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.support.tiny_student import HIDDEN, LAYERS

RANK = 4


def make_tiny_adapter(directory: Path, *, strength: float) -> Path:
    """strength 0 is an adapter that changes nothing, as an untrained one is."""
    random = np.random.default_rng(1)
    directory.mkdir(parents=True)
    parameters = {"rank": RANK, "scale": 10.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "self_attn.o_proj"]}
    config = {"fine_tune_type": "lora", "num_layers": LAYERS, "lora_parameters": parameters}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    weights = {}
    for layer in range(LAYERS):
        for projection in ("q_proj", "o_proj"):
            name = f"model.layers.{layer}.self_attn.{projection}"
            weights[f"{name}.lora_a"] = random.standard_normal((HIDDEN, RANK)).astype(np.float32)
            weights[f"{name}.lora_b"] = (random.standard_normal((RANK, HIDDEN)) * strength).astype(np.float32)
    save_file(weights, directory / "adapters.safetensors")
    return directory
