"""A student that says the same to everything: real files for mlx_lm; its next token hangs on the last one alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.support.tiny_student import make_tiny_student


def make_scripted_student(directory: Path, *, says: Sequence[str], for_ever: bool = False) -> Path:
    """A student that answers with these tokens, each another one and without blanks, and then ends its turn.

    With `for_ever` it begins again instead. Its layers do nothing, its embeddings are unit vectors, and its head is the
    table of which token follows which.
    """
    make_tiny_student(directory)
    tokenizer = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    first = config["vocab_size"]
    for number, token in enumerate(says, first):
        plain = {"special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        tokenizer["added_tokens"].append({"id": number, "content": token, **plain})
    size = first + len(says)
    hidden = -(-size // 64) * 64
    config |= {"vocab_size": size, "hidden_size": hidden, "intermediate_size": 8, "tie_word_embeddings": False}
    follows = np.zeros((size, hidden), np.float32)
    follows[first, :size] = 1.0
    after = first if for_ever else config["eos_token_id"]
    for number in range(first, size):
        follows[first, number] = 0.0
        follows[number + 1 if number + 1 < size else after, number] = 1.0
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({**_idle(directory, hidden), **_ends(follows, hidden)}, directory / "model.safetensors")
    return directory


def _ends(follows: np.ndarray, hidden: int) -> dict[str, np.ndarray]:
    return {
        "model.embed_tokens.weight": np.eye(len(follows), hidden, dtype=np.float32),
        "model.norm.weight": np.ones(hidden, np.float32),
        "lm_head.weight": follows,
    }


def _idle(directory: Path, hidden: int) -> dict[str, np.ndarray]:
    """The layers, of the same names, adding nothing."""
    names = [name for name in load_file(directory / "model.safetensors") if ".layers." in name]
    shapes = {"k_proj": (hidden // 2, hidden), "v_proj": (hidden // 2, hidden), "down_proj": (hidden, 8)}
    shapes |= {"gate_proj": (8, hidden), "up_proj": (8, hidden)}

    def shape(name: str) -> tuple[int, ...]:
        return (hidden,) if "norm" in name else shapes.get(name.split(".")[-2], (hidden, hidden))

    return {name: np.zeros(shape(name), np.float32) for name in names}
