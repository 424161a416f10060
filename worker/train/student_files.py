"""Checks from its files alone whether a student can be loaded."""

import json
from pathlib import Path

from config.errors import UsageError
from config.records import JsonObject

HEADER_BYTES = 8  # a safetensors file begins with the length of its header
MAX_HEADER = 100_000_000  # the format's own limit
NEXT = "give the directory of a complete mlx_lm model"


def require_loadable(student: Path) -> None:
    """UsageError in one line when config, weights or tokenizer are missing, cut short or of another format."""
    if not student.is_dir():
        raise UsageError(f"no student at {str(student)!r}: {NEXT}")
    config = _json(student / "config.json", student)
    if not isinstance(config.get("model_type"), str):
        raise UsageError(f"config.json of the student {str(student)!r} names no model_type: {NEXT}")
    if not (student / "tokenizer_config.json").is_file() and not (student / "tokenizer.json").is_file():
        raise UsageError(f"the student {str(student)!r} has no tokenizer.json: {NEXT}")
    for name in _weight_files(student):
        _require_whole(student / name)


def _weight_files(student: Path) -> list[str]:
    index = student / "model.safetensors.index.json"
    if index.is_file():
        names = _json(index, student).get("weight_map")
        return sorted({str(name) for name in names.values()}) if isinstance(names, dict) else []
    found = sorted(file.name for file in student.glob("model*.safetensors"))  # the pattern mlx_lm loads
    if not found:
        raise UsageError(f"the student {str(student)!r} has no model*.safetensors: {NEXT}")
    return found


def _require_whole(file: Path) -> None:
    """Compare the file's size with its header, which reveals an interrupted download."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(HEADER_BYTES), "little")
            header = json.loads(stream.read(length)) if length < MAX_HEADER else {}
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = HEADER_BYTES + length + max(ends)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{str(file)!r} is missing or no safetensors file: fetch the student again") from None
    size = file.stat().st_size
    if size != expected:
        raise UsageError(f"{str(file)!r} has {size} bytes of {expected}: fetch the student again")


def _json(file: Path, student: Path) -> JsonObject:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"the student {str(student)!r} has no {file.name}: {NEXT}") from None
    except ValueError as error:
        raise UsageError(f"{str(file)!r} is not JSON ({error}): fetch the student again") from None
    return content if isinstance(content, dict) else {}
