"""The questions in a dataset's directory: those that score the adapter, and those that choose its checkpoint."""

from contextlib import suppress
from pathlib import Path

from config.records import Prompt

HELD_OUT = "held_out.jsonl"
CHOOSING = "valid_prompts.jsonl"
MOST = 24  # questions that choose; more cost minutes and rarely change the choice


def held_out(dataset: Path) -> list[Prompt]:
    """The prompts of the dataset's test split, which no training row holds."""
    return _read(dataset / HELD_OUT)


def choosing_prompts(dataset: Path) -> list[Prompt]:
    """Questions of the valid split that need tools and have an expected answer, at most MOST, in file order.

    None for a dataset of an earlier version, which has no such file.
    """
    with suppress(FileNotFoundError):
        return [prompt for prompt in _read(dataset / CHOOSING) if prompt.requires_tools and prompt.expect][:MOST]
    return []


def _read(file: Path) -> list[Prompt]:
    with file.open(encoding="utf-8") as lines:
        return [Prompt.model_validate_json(line) for line in lines if line.strip()]
