"""Converts a llama GGUF file to an mlx_lm model directory: python -m worker.student.demo_model.convert FILE.gguf DIR

Runs in its own process because it loads mlx.
"""

import json
import re
import sys
from pathlib import Path
from typing import cast

import mlx.core as mx

from worker.student.demo_model.tokenizer_files import byte_level, write_tokenizer

Metadata = dict[str, mx.array | str | list[str]]
CONTROL_TOKEN = 3  # GGUF's token type for special tokens
GROUP = 32  # weights per scale in GGUF's Q4_1 and Q8_0
NAMES = {  # GGUF's tensor name -> mlx_lm's
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf: Path, out: Path) -> None:
    """Write config.json, generation_config.json, model.safetensors (float32) and the tokenizer files into `out`."""
    arrays, metadata = cast("tuple[dict[str, mx.array], Metadata]", mx.load(str(gguf), return_metadata=True))
    config = _config(metadata)
    tensors = sorted(name.removesuffix(".weight") for name in arrays if name.endswith(".weight"))
    weights = {_name(tensor): _weight(arrays, tensor, config) for tensor in tensors}
    mx.save_safetensors(str(out / "model.safetensors"), weights, metadata={"format": "mlx"})
    generation = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    for name, content in (("config", config), ("generation_config", generation)):
        (out / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _write_tokenizer(metadata, out)


def _value(metadata: Metadata, key: str) -> float:
    return cast("float", cast("mx.array", metadata[key]).item())


def _config(metadata: Metadata) -> dict[str, object]:
    def number(key: str) -> int:
        return int(_value(metadata, key))

    eos = number("tokenizer.ggml.eos_token_id")
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": number("llama.embedding_length"),
        "intermediate_size": number("llama.feed_forward_length"),
        "num_hidden_layers": number("llama.block_count"),
        "num_attention_heads": number("llama.attention.head_count"),
        "num_key_value_heads": number("llama.attention.head_count_kv"),
        "rms_norm_eps": _value(metadata, "llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": _value(metadata, "llama.rope.freq_base"),
        "max_position_embeddings": number("llama.context_length"),
        "vocab_size": number("llama.vocab_size"),
        "tie_word_embeddings": True,  # the file has no output matrix
        "bos_token_id": number("tokenizer.ggml.bos_token_id"),
        "eos_token_id": eos,
        "pad_token_id": eos,
        "torch_dtype": "float32",
    }


def _name(tensor: str) -> str:
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)", tensor)
    name = f"model.layers.{block[1]}.{NAMES[block[2]]}" if block else NAMES[tensor]
    return f"{name}.weight"


def _weight(arrays: dict[str, mx.array], tensor: str, config: dict[str, object]) -> mx.array:
    weight = arrays[f"{tensor}.weight"]
    scales = arrays.get(f"{tensor}.scales")
    if scales is not None:
        biases = arrays[f"{tensor}.biases"].astype(mx.float32)
        bits = weight.shape[-1] * 32 // (scales.shape[-1] * GROUP)
        weight = mx.dequantize(weight, scales.astype(mx.float32), biases, group_size=GROUP, bits=bits)
    weight = weight.astype(mx.float32)
    if tensor.endswith("attn_q"):
        return _rotary_halves(weight, cast("int", config["num_attention_heads"]))
    if tensor.endswith("attn_k"):
        return _rotary_halves(weight, cast("int", config["num_key_value_heads"]))
    return weight


def _rotary_halves(weight: mx.array, heads: int) -> mx.array:
    """Restore llama's row order in each head: GGUF interleaves the two halves of the rotary embedding."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_tokenizer(metadata: Metadata, out: Path) -> None:
    tokens = cast("list[str]", metadata["tokenizer.ggml.tokens"])
    kinds = cast("list[int]", cast("mx.array", metadata["tokenizer.ggml.token_type"]).tolist())
    pairs = (merge.split(" ") for merge in cast("list[str]", metadata["tokenizer.ggml.merges"]))
    merges = [(left, right) for left, right in pairs]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer = byte_level({token: number for number, token in enumerate(tokens)}, merges, special)
    write_tokenizer(out, tokenizer, context_length=int(_value(metadata, "llama.context_length")))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
