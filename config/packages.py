"""Installed packages as workspaces: "package:NAME@VERSION" is the same code wherever that version is installed."""

import re
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from config.errors import WorkspaceError

PREFIX: Final = "package:"
NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)  # a top-level package: finding it imports nothing


def reference(name: str) -> str:
    """The workspace of an installed package, "package:kombu@5.7.0". WorkspaceError if it is not installed."""
    folder(name)
    return f"{PREFIX}{name}@{version(name)}"


def resolve(workspace: str) -> Path:
    """The source folder of "package:NAME@VERSION". WorkspaceError if this version is not installed here."""
    name, _, wanted = workspace.removeprefix(PREFIX).partition("@")
    found = folder(name)
    if version(name) != wanted:
        raise WorkspaceError(
            f"{name} {version(name)} is installed here and the questions are about {name} {wanted}; "
            f"install {name}=={wanted}"
        )
    return found


def folder(name: str) -> Path:
    """The source folder of an installed package that has metadata of the same name. WorkspaceError otherwise."""
    # not importlib.util.find_spec: kombu, once imported, stands in sys.modules without a spec
    spec = PathFinder.find_spec(name) if NAME.fullmatch(name) else None
    try:
        version(name)
    except (PackageNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise WorkspaceError(f"the package {name!r} is not installed here")
    return Path(spec.origin).parent
