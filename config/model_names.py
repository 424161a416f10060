"""How a user names a model: a directory, or a hub id ORG/NAME, optionally ID@REVISION."""

import re
from dataclasses import dataclass
from pathlib import Path

from config.errors import UsageError
from config.records import DEFAULT_MODEL

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_ID = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
_LONGEST_ID = 96  # the hub's limit


@dataclass(frozen=True)
class ModelName:
    """A parsed name: either a `path` or an `id`."""

    id: str = ""
    """hub id, "" for a directory"""
    revision: str | None = None
    """branch, tag or commit; None for the hub's default branch"""
    path: Path | None = None
    """a directory, `~` expanded; it may be missing on this machine"""


def parse_model(text: str) -> ModelName:
    """Parse a name. One that starts with /, . or ~, or exists as a directory, is a path.

    UsageError if it is a file, or neither a path nor a hub id.
    """
    path = Path(text).expanduser() if text else Path()
    if path.is_file():
        raise UsageError(f"{text!r} is a file; give the model's directory, which holds config.json")
    if text.startswith(("/", ".", "~")) or (text and path.is_dir()):
        return ModelName(path=path)
    name, separator, revision = text.partition("@")
    valid = _ID.fullmatch(name) and len(name) <= _LONGEST_ID and "--" not in name and ".." not in name
    if not valid or (separator and not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"{text!r} is neither a directory here nor a hub id; give ORG/NAME, ORG/NAME@REVISION, "
            "or the full path of a model directory"
        )
    return ModelName(id=name, revision=revision if separator else None)


def is_served(serve: str | None, model: str) -> bool:
    """Whether a run that requests `model` means the model of `--serve`, which mlx_lm knows under another name."""
    if serve is None or model in (serve, DEFAULT_MODEL):
        return serve is not None
    try:
        served, requested = parse_model(serve), parse_model(model)
    except UsageError:  # another server's name for a model, such as "qwen3:8b"
        return False
    if served.path or requested.path:
        return served.path == requested.path
    return served.id == requested.id and requested.revision in (None, served.revision)


def download_text(model: str, done: int, total: int) -> str:
    """Progress of a download for people, "downloading ORG/NAME: 3.1 of 17.2 GB"; `done` and `total` are bytes."""
    unit, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    return f"downloading {model}: {done / unit:.1f} of {total / unit:.1f} {name}"
