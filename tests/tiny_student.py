"""A student of a few thousand random weights: real files for mlx_lm and transformers, made in well under a second."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import pre_tokenizers

from worker.student.tokenizer import CHATML, TURN_END, TURN_START, byte_level, write_tokenizer

LAYERS = 2
HIDDEN = 32
INNER = 64
HEADS = 4
CONTEXT = 4096
SEED = 7


def make_tiny_student(directory: Path) -> Path:
    """A random llama model with ChatML markers as its special tokens and the chatml_tools template.

    One token a byte: any text can be encoded, and a text is about as many tokens as it has characters.
    """
    directory.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*CHATML, *alphabet])}
    tokenizer = byte_level(vocabulary, [], CHATML)
    write_tokenizer(directory, tokenizer, context_length=CONTEXT)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        "bos_token_id": vocabulary[TURN_START],
        "eos_token_id": vocabulary[TURN_END],
        "torch_dtype": "float32",
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(_weights(len(vocabulary)), directory / "model.safetensors", metadata={"format": "mlx"})
    return directory


def _weights(vocabulary: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(SEED)
    keys = HIDDEN // 2  # two key heads of four

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * 0.05).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        weights |= {
            f"{name}.input_layernorm.weight": np.ones(HIDDEN, np.float32),
            f"{name}.post_attention_layernorm.weight": np.ones(HIDDEN, np.float32),
            f"{name}.self_attn.q_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{name}.self_attn.k_proj.weight": matrix(keys, HIDDEN),
            f"{name}.self_attn.v_proj.weight": matrix(keys, HIDDEN),
            f"{name}.self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{name}.mlp.gate_proj.weight": matrix(INNER, HIDDEN),
            f"{name}.mlp.up_proj.weight": matrix(INNER, HIDDEN),
            f"{name}.mlp.down_proj.weight": matrix(HIDDEN, INNER),
        }
    return weights
