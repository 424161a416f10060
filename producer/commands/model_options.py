"""Options that name models: --student, also per role, and --serve."""

from collections.abc import Sequence
from typing import NamedTuple

from config.errors import UsageError
from config.model_names import parse_model

ROLES = ("curate", "train")
STUDENT_HELP = (
    "Student to render for, train and evaluate: hub id (ORG/NAME or ORG/NAME@REVISION) or directory. Where machines "
    "name it differently: curate=MODEL and train=MODEL (train covers evaluation)."
)


class Students(NamedTuple):
    """The student of each role; None where none is named."""

    curate: str | None = None
    train: str | None = None
    """only where it is not that of curation"""


def parse_students(options: Sequence[str]) -> Students:
    """The values of --student: MODEL for all roles, curate=MODEL, train=MODEL. UsageError for a bad or repeated one."""
    found: dict[str, str] = {}
    for option in options:
        role, separator, model = option.partition("=")
        if not (separator and role in ROLES):
            role, model = "", option
        if role in found:
            raise UsageError(f"--student is given twice{f' for {role}' if role else ''}: {found[role]!r} and {model!r}")
        found[role] = absolute(model)
    if "" in found and len(found) > len(ROLES):
        raise UsageError(f"--student {found['']!r} has no role left, because curate= and train= are given; omit it")
    curate, train = (found.get(role, found.get("")) for role in ROLES)
    return Students(curate, None if train == curate else train)


def absolute(model: str) -> str:
    """A directory of this machine as an absolute path, because workers run elsewhere; other names are unchanged.

    UsageError if it is neither a path nor a hub id, or a relative path that is not here.
    """
    path = parse_model(model).path
    if path is None:
        return model
    if path.exists():
        return str(path.resolve())
    if model.startswith("."):
        raise UsageError(f"there is no directory {model!r} here; give a hub id, or the full path on the other machines")
    return model


def doubtful(student: str) -> str:
    """A warning if a directory is not a model on this machine, else "". Other machines may have it."""
    path = parse_model(student).path
    if path is None or (path / "config.json").is_file():
        return ""
    return (
        f"--student {student!r} is not a model directory on this machine: there is no {str(path / 'config.json')!r}; "
        "make sure that the machines that curate and train have it"
    )
