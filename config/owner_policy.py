"""What the owner of a worker lets runs touch on that machine: folders to read and programs to start.

A run that wants more is refused there. Repositories that are named by a URL are cloned into the worker's own cache, and
installed packages are public code: both are allowed. The check of a folder resolves links, "..", and "~" first.
"""

import os
import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote

from config.address import without_secret
from config.errors import WorkspaceError, WorkspaceRefusedError
from config.packages import PREFIX
from config.records import JsonObject

URL: Final = re.compile(r"^([a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)")
FILE: Final = "file://"
EVERY: Final = "*"
"""as a program: each one that a run names"""
SEPARATOR: Final = ";"
INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Policy:
    """The owner's word; the default allows everything, as for a command that a person runs."""

    roots: tuple[Path, ...] | None = None
    """absolute folders; runs may read what is in or below them. None: any folder"""
    commands: tuple[str, ...] | None = None
    """programs that run_command may start, if the run names them too. None: any"""

    @classmethod
    def of_settings(cls, roots: str | None, commands: str | None) -> Self:
        """The policy of two settings, each with its parts separated by ';'."""
        programs = None if commands is None or EVERY in _parts(commands) else tuple(_parts(commands))
        places = None if roots is None else tuple(Path(part).expanduser().absolute() for part in _parts(roots))
        return cls(places, programs)

    @classmethod
    def of_heartbeat(cls, fields: JsonObject) -> Self:
        """The policy that a worker reports; workers of earlier versions report none and allow everything."""
        roots, commands = fields.get("workspace_roots"), fields.get("commands")
        return cls(
            tuple(Path(str(root)) for root in roots) if isinstance(roots, list) else None,
            tuple(map(str, commands)) if isinstance(commands, list) else None,
        )

    def heartbeat(self) -> JsonObject:
        """The fields of a heartbeat; a root is listed as it is named, and with its links resolved."""
        roots = [str(path) for root in self.roots or () for path in (root, root.resolve())]
        return {
            **({} if self.roots is None else {"workspace_roots": list(dict.fromkeys(roots))}),
            **({} if self.commands is None else {"commands": list(self.commands)}),
        }

    def require_origin(self, origin: str) -> Path | None:
        """The folder of a path, links resolved; None for a URL.

        Raises:
            WorkspaceRefusedError: a folder, or that of a file:// URL, is outside all roots.
            WorkspaceError: the path has no meaning on this machine.
        """
        if not URL.match(origin):
            return self.require_folder(origin)
        if origin.startswith(FILE):
            for path in {origin, unquote(origin)}:  # git decodes a URL
                self.require_folder("/" + path.removeprefix(FILE).lstrip("/"))
        return None

    def require_folder(self, named: str) -> Path:
        """The folder, links resolved. Raises the errors of require_origin; reads nothing in it."""
        try:
            real = Path(named).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:  # "~nobody", a cycle of links, a NUL
            raise WorkspaceError(f"{named!r} is not a folder on {platform.node()}: {error}") from error
        if self.roots is None or any(real.is_relative_to(root.resolve()) for root in self.roots):
            return real
        led = "" if str(real) == named else f" (it leads to {str(real)!r})"
        raise WorkspaceRefusedError(
            f"the owner of this worker on {platform.node()} does not let runs read {named!r}{led}; "
            f"{self._readable()}; to allow it, start the worker with `--workspace-root {shlex.quote(str(real))}`"
        )

    def require_package(self, folder: Path) -> Path:
        """The folder of an installed package. WorkspaceRefusedError if it was installed from a folder outside."""
        real = folder.resolve()
        return real if INSTALLED & set(real.parts) else self.require_folder(str(real))

    def require_commands(self, named: Sequence[str]) -> None:
        """Raise WorkspaceRefusedError if the run names a program that the owner does not allow."""
        if refused := [name for name in named if self.commands is not None and name not in self.commands]:
            options = " ".join(f"--allow-command {shlex.quote(name)}" for name in refused)
            raise WorkspaceRefusedError(
                f"the owner of this worker on {platform.node()} does not let runs start {_listed(refused)}; allowed "
                f"programs: {_listed(self.commands or ())}; to allow it, start the worker with `{options}`"
            )

    def objection(self, workspace: str | None, commands: Sequence[str] = ()) -> str:
        """Why a worker of this policy will refuse a run, judged by names from another machine; "" if it may not."""
        if refused := [name for name in commands if self.commands is not None and name not in self.commands]:
            return f"programs: {_listed(self.commands or ())}, not {_listed(refused)}"
        if workspace is None or self.roots is None or workspace.startswith((PREFIX, "~")):
            return ""
        if URL.match(workspace) and not workspace.startswith(FILE):
            return ""
        path = "/" + workspace.removeprefix(FILE).lstrip("/") if workspace.startswith(FILE) else workspace
        for named in (path, path.rpartition("@")[0] or path):
            if any(Path(os.path.normpath(named)).is_relative_to(root) for root in self.roots):
                return ""
        return f"{self._readable()}, not {without_secret(workspace)!r}"

    def _readable(self) -> str:
        return f"folders: {_listed([str(root) for root in self.roots or ()])}"


def _parts(text: str) -> list[str]:
    return [part for piece in text.split(SEPARATOR) if (part := piece.strip())]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words)) or "none"
