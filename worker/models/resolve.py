"""Finds a model on this machine: a directory, or a snapshot in the hub cache. Downloads nothing.

The hub cache keeps one model as models--ORG--NAME/: refs/BRANCH holds a commit, snapshots/COMMIT/ holds links into
blobs/. huggingface_hub records a commit's file list in trees/, by which a partial snapshot is recognised.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from huggingface_hub import constants

from config.errors import UsageError
from config.model_names import ModelName, parse_model

DEFAULT_REVISION: Final = "main"
TOKENIZER_FILES: Final = (
    "*.json", "*.py", "tokenizer.model", "*.tiktoken", "tiktoken.model", "*.txt", "*.jsonl", "*.jinja",
)  # fmt: skip
MODEL_FILES: Final = (*TOKENIZER_FILES, "model*.safetensors")  # the patterns of mlx_lm.utils 0.32
INDEX: Final = "model.safetensors.index.json"
SHOWN = 3  # missing files in a message
SHORT = 12  # characters of a commit in a message
_COMMIT = re.compile(r"[0-9a-f]{4,40}")
_SNAPSHOT = re.compile(r"models--(.+)/snapshots/([0-9a-f]{40})$")


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine."""

    path: Path
    model: str
    """hub id, or the directory"""
    revision: str | None = None
    """the hub's commit, 40 hex digits; None for a directory"""


class NotHereError(UsageError):
    """The model of a hub id is not on this machine, or only in part; it can be downloaded."""


def local_model(model: str, *, revision: str | None = None, weights: bool = True) -> LocalModel:
    """The directory of a model. `revision` takes the place of the one in the name.

    Without `weights`, the files of the tokenizer suffice. Raises UsageError in one line if a directory is missing,
    and NotHereError if a hub id has to be downloaded first.
    """
    name = parse_model(model)
    if name.path:
        return _directory(name.path)
    revision = revision or name.revision
    folder = repo_folder(name.id)
    commit = _commit(folder, revision or DEFAULT_REVISION)
    snapshot = folder / "snapshots" / commit if commit else None
    if commit is None or snapshot is None or not snapshot.is_dir():
        raise NotHereError(_not_here(name, folder, revision))
    if missing := _missing(name.id, commit, snapshot, weights=weights):
        listed = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
        raise NotHereError(
            f"the model {name.id!r} is incomplete on this machine, without {listed}; "
            f"run: applejack pull {pull_name(name.id, revision)}"
        )
    return LocalModel(snapshot, name.id, commit)


def hub_name(directory: Path) -> tuple[str, str | None]:
    """The hub id and commit of a snapshot's directory; for another directory its path and None."""
    found = _SNAPSHOT.search(directory.absolute().as_posix())
    return (found[1].replace("--", "/"), found[2]) if found else (str(directory), None)


def hub_cache() -> Path:
    """The hub cache of this user; HF_HUB_CACHE and HF_HOME move it."""
    return Path(constants.HF_HUB_CACHE).expanduser()


def repo_folder(model_id: str) -> Path:
    """The folder of a model in the hub cache."""
    return hub_cache() / f"models--{model_id.replace('/', '--')}"


def is_needed(file: str, patterns: Sequence[str]) -> bool:
    """Whether a file of the hub matches, as huggingface_hub compares: `*` also matches a slash."""
    return any(fnmatchcase(file, pattern) for pattern in patterns)


def pull_name(model_id: str, revision: str | None) -> str:
    """What to give to `applejack pull`."""
    return f"{model_id}@{revision}" if revision else model_id


def _directory(path: Path) -> LocalModel:
    if not path.is_dir():
        raise UsageError(f"no model at {str(path)!r} on this machine; give a directory that is there, or a hub id")
    model, revision = hub_name(path)
    return LocalModel(path.absolute(), model if revision else str(path.absolute()), revision)


def _commit(folder: Path, revision: str) -> str | None:
    """The commit of a branch, a tag, or a full or short commit; None if this machine does not know it."""
    ref = folder / "refs" / revision
    if ref.is_file():
        return ref.read_text(encoding="utf-8").strip()
    if not _COMMIT.fullmatch(revision):
        return None
    found = [snapshot.name for snapshot in folder.glob(f"snapshots/{revision}*")]
    return found[0] if len(found) == 1 else None


def _not_here(name: ModelName, folder: Path, revision: str | None) -> str:
    """Name the revisions that are here, if the requested one is not."""
    there = sorted(snapshot.name[:SHORT] for snapshot in folder.glob("snapshots/*"))
    command = f"run: applejack pull {pull_name(name.id, revision)}"
    if revision and there:
        return f"this machine has {name.id!r} at revision {', '.join(there)}, not at {revision!r}; {command}"
    return f"the model {pull_name(name.id, revision)!r} is not on this machine; {command}"


def _missing(model_id: str, commit: str, snapshot: Path, *, weights: bool) -> list[str]:
    """The files of a snapshot that are not here; a link without its blob is not a file."""
    return [name for name in _expected(model_id, commit, snapshot, weights) if not (snapshot / name).is_file()]


def _expected(model_id: str, commit: str, snapshot: Path, weights: bool) -> list[str]:
    from huggingface_hub import get_cached_repo_tree  # half a second with its HTTP client
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        names = [file.path for file in get_cached_repo_tree(model_id, revision=commit)]
    except CachedRepoTreeNotFoundError:  # a cache of an earlier huggingface_hub
        return ["config.json", *(_weight_files(snapshot) if weights else [])]
    return sorted(name for name in names if is_needed(name, MODEL_FILES if weights else TOKENIZER_FILES))


def _weight_files(snapshot: Path) -> list[str]:
    """The weights that the index names; without an index one file holds them."""
    try:
        index = json.loads((snapshot / INDEX).read_text(encoding="utf-8"))
        return sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [] if any(snapshot.glob("model*.safetensors")) else ["model.safetensors"]
