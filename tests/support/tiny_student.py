"""A student of a few thousand random weights: real files for mlx_lm and transformers, made in well under a second."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from worker.student.demo_model.tokenizer_files import CHATML, TURN_END, TURN_START, byte_level, write_tokenizer

LAYERS = 2
HIDDEN = 32
INNER = 64
HEADS = 4
CONTEXT = 4096
SEED = 7
VOCABULARY = 512  # before the special tokens
LINE_BREAKS = ("\u010a", "\u010a")  # two in a row are one token, as in the tokenizers of real models
SENTENCES = """system user assistant tool You answer questions about the code in your workspace. Use the tools to look
before you answer. Tools: {"name": "read_file", "arguments": {"path": "string", "start": "integer?", "end": "integer?"}}
{"name": "grep", "arguments": {"pattern": "string", "path": "string?", "glob": "string?"}} {"name": "find_files"}
{"name": "list_dir"} {"name": "count", "arguments": {"what": "files"}} <tool_call> </tool_call> matches in files
Which classes subclass the class? Where is the function defined? def self(import return) There are 12 Python files.
"""


def make_tiny_student(directory: Path) -> Path:
    """A random llama model with ChatML markers as its special tokens and the chatml_tools template.

    Any text can be encoded; a token is about two characters.
    """
    directory.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges(alphabet)
    tokens = dict.fromkeys([*CHATML, *alphabet, *("".join(pair) for pair in merges)])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = byte_level(vocabulary, merges, CHATML)
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


def _merges(alphabet: list[str]) -> list[tuple[str, str]]:
    """The byte-pair merges that a few sentences give, always the same."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        initial_alphabet=alphabet, vocab_size=VOCABULARY, min_frequency=1, show_progress=False
    )
    tokenizer.train_from_iterator([SENTENCES], trainer)
    merges: list[list[str]] = json.loads(tokenizer.to_str())["model"]["merges"]
    return [LINE_BREAKS, *((left, right) for left, right in merges)]


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
