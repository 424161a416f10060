"""Writes a student's tokenizer files from a vocabulary and its merges."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from worker.student import templates

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"  # the stop token
CHATML = (END_OF_TEXT, TURN_START, TURN_END)


def byte_level(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], special: Sequence[str]) -> Tokenizer:
    """A byte-level BPE tokenizer that splits numbers into digits, as SmolLM2's does. `special` tokens stay whole."""
    tokenizer = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges), fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def write_tokenizer(directory: Path, tokenizer: Tokenizer, *, context_length: int) -> None:
    """Write tokenizer.json, its configuration and the chat template for transformers and mlx_lm.

    Tool-call tags are ordinary text, not special tokens: LoRA hardly trains a token that is new to the base model.
    """
    special = {"bos_token": TURN_START, "eos_token": TURN_END, "pad_token": TURN_END, "unk_token": END_OF_TEXT}
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_json(directory / "special_tokens_map.json", special)
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context_length,
            "clean_up_tokenization_spaces": False,
            "tool_parser_type": "json_tools",  # mlx_lm's name for <tool_call>{json}</tool_call>
            **special,
        },
    )
    template = templates.path(templates.CHATML_TOOLS).read_text(encoding="utf-8")
    (directory / "chat_template.jinja").write_text(template, encoding="utf-8")


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
