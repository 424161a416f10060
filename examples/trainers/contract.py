"""What a trainer in Python needs to work with applejack. Standard library only; copy it beside your own trainer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
IGNORED = -100  # the label of a token without a loss, in transformers


@dataclass(frozen=True)
class Config:
    """The configuration that applejack writes; its path is the command's last argument."""

    run_id: str
    dataset: Path
    """train.jsonl, valid.jsonl and test.jsonl"""
    student: Path
    out: Path
    """where the adapter belongs; an interrupted training finds here what it left"""
    progress: Path
    hyperparameters: dict[str, Any]
    """mlx_lm's names: iters, batch_size, learning_rate, max_seq_length, num_layers, lora_parameters, seed, ..."""

    @classmethod
    def read(cls, path: str) -> "Config":
        """Read the file. SystemExit names a version that this code does not know."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise SystemExit(f"schema_version is {content['schema_version']!r}; this trainer knows {SCHEMA_VERSION}")
        paths = {name: Path(content[name]) for name in ("dataset", "student", "out", "progress")}
        return cls(run_id=content["run_id"], hyperparameters=content["hyperparameters"], **paths)

    @property
    def updates(self) -> int:
        """Optimizer steps; mlx_lm counts iterations, of which each update takes grad_accumulation_steps."""
        return max(1, int(self.hyperparameters["iters"]) // self.accumulation)

    @property
    def accumulation(self) -> int:
        """Iterations of one update."""
        return int(self.hyperparameters.get("grad_accumulation_steps", 1))

    @property
    def alpha(self) -> float:
        """PEFT's lora_alpha: it divides by the rank, mlx_lm's scale is the whole factor."""
        lora = self.hyperparameters["lora_parameters"]
        return float(lora["scale"] * lora["rank"])

    def layers(self, count: int) -> list[int]:
        """The indices of the layers to train: the last num_layers of `count`, all if it is -1."""
        wanted = int(self.hyperparameters["num_layers"])
        return list(range(count))[-wanted:] if 0 < wanted < count else list(range(count))

    def rows(self, split: str) -> list[dict[str, Any]]:
        """The rows of a split, none if the dataset has no such file."""
        file = self.dataset / f"{split}.jsonl"
        return list(_rows(file)) if file.is_file() else []

    def report(self, update: int, **values: float) -> None:
        """Append one line of progress. Losses, learning_rate, tokens_per_second and peak_memory_gb are shown."""
        line = {"iteration": update * self.accumulation, "iterations": self.hyperparameters["iters"], **values}
        with self.progress.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def labelled(row: dict[str, Any], tokenizer: Any) -> dict[str, list[int]]:
    """The tokens of a row and their labels, as mlx_lm trains on them.

    A row of messages has its loss on the last message and the token that ends it; the system prompt, the tools, the
    questions and the tool results have none. A row of text has it on every token. ValueError if the chat template
    renders a conversation differently with its last message: then the model would not see in use what it learnt.
    """
    if "text" in row:
        tokens = list(tokenizer.encode(row["text"]))
        if tokens[-1] != tokenizer.eos_token_id:
            tokens.append(tokenizer.eos_token_id)
        return {"input_ids": tokens, "labels": list(tokens)}
    messages, tools = row["messages"], row.get("tools") or None
    tokens = tokenizer.apply_chat_template(messages, tools=tools, return_dict=False)
    prompt = tokenizer.apply_chat_template(messages[:-1], tools=tools, add_generation_prompt=True, return_dict=False)
    if tokens[: len(prompt)] != prompt:
        raise ValueError(f"the chat template renders the prompt of {messages[-1]!r} differently with and without it")
    return {"input_ids": list(tokens), "labels": [IGNORED] * len(prompt) + list(tokens[len(prompt) :])}


def progress_values(logs: dict[str, float]) -> dict[str, float]:
    """The values of a log of transformers' Trainer, by the names of applejack's progress; empty if it has none."""
    names = {"loss": "train_loss", "eval_loss": "valid_loss", "learning_rate": "learning_rate"}
    return {ours: float(logs[theirs]) for theirs, ours in names.items() if theirs in logs}


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
