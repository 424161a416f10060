"""A small dataset directory of `turns` rows, as curate writes it, for tests of the train stage."""

import json
from pathlib import Path

from config.records import JsonObject

TOOLS: list[JsonObject] = [
    {
        "type": "function",
        "function": {
            "name": "count",
            "description": "Counts files.",
            "parameters": {"type": "object", "properties": {"glob": {"type": "string"}}, "required": ["glob"]},
        },
    }
]


def turn(number: int) -> JsonObject:
    """One row: a question, and the assistant's call as the turn that is learnt."""
    call: JsonObject = {"name": "count", "arguments": {"glob": f"part{number}/*.py"}}
    return {
        "messages": [
            {"role": "user", "content": f"How many files are in part{number}?"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function", "function": call}]},
        ],
        "tools": [*TOOLS],
    }


def write_rows(directory: Path, split: str, rows: list[JsonObject]) -> None:
    """One split, replaced."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (directory / f"{split}.jsonl").write_text(text, encoding="utf-8")


def make_training_set(directory: Path, *, train: int = 6, valid: int = 2) -> Path:
    """A directory with train.jsonl, valid.jsonl and dataset.json."""
    directory.mkdir(parents=True, exist_ok=True)
    write_rows(directory, "train", [turn(number) for number in range(train)])
    write_rows(directory, "valid", [turn(100 + number) for number in range(valid)])
    (directory / "dataset.json").write_text(json.dumps({"content_hash": "abc", "loss_proof": {"passed": True}}))
    return directory
