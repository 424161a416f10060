"""Which files a training set consists of, and which split each is."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from config.errors import UsageError
from config.records import JsonObject

BESIDE = ("rejected", "held_out", "unseen", "valid_prompts", "examples")  # written beside the splits, not trained on
MANIFEST = "dataset.json"  # of a set made here
SPLITS = ("train", "valid", "test")  # as mlx_lm names them; each is compared with those in front of it


def find_splits(paths: Sequence[Path]) -> dict[str, Path]:
    """Split name -> file, train, valid and test first: a file's stem names its split. Raises UsageError."""
    files = [file for path in paths for file in (_in_directory(path) if path.is_dir() else [path])]
    splits: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise UsageError(f"{str(file)!r} does not exist; give a dataset's directory or its .jsonl files")
        if (other := splits.setdefault(file.stem, file)) != file:
            raise UsageError(f"{str(other)!r} and {str(file)!r} are both split {file.stem!r}; audit one set at a time")
    return dict(sorted(splits.items(), key=lambda item: (SPLITS.index(item[0]) if item[0] in SPLITS else 9, item[0])))


def counted_leaks(paths: Sequence[Path]) -> dict[str, int]:
    """Per pair of splits, the questions or subjects on both sides that the directories' dataset.json files count."""
    counted: Counter[str] = Counter()
    for path in paths:
        for pair, number in _counts(path / MANIFEST, "leaks", "keys").items():
            if isinstance(number, int):
                counted[pair] += number
    return dict(counted)


def _counts(file: Path, *keys: str) -> JsonObject:
    """The object under these keys of a JSON file; {} if the file or the object is missing."""
    try:
        found: JsonValue = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _in_directory(directory: Path) -> list[Path]:
    """The splits' files; without any, every .jsonl file that could be one."""
    named = [file for split in SPLITS if (file := directory / f"{split}.jsonl").is_file()]
    found = named or sorted(file for file in directory.glob("*.jsonl") if file.stem not in BESIDE)
    if not found:
        raise UsageError(f"{str(directory)!r} holds no training set: no train.jsonl, valid.jsonl or test.jsonl")
    return found
