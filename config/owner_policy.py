"""What the owner of a worker lets runs touch on that machine: folders, private repositories, and programs to start.

A run that wants more is refused there. Public repositories are cloned into the worker's own cache, and installed
packages are public code: both are allowed. The check of a folder resolves links, "..", and "~" first. The owner's
credentials for git (helpers, .netrc, ssh keys) serve only for URLs that the owner names; others are fetched without.
"""

import os
import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from config.address import without_secret
from config.errors import WorkspaceError, WorkspaceRefusedError
from config.packages import PREFIX
from config.records import JsonObject

URL: Final = re.compile(r"^([a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)")
FILE: Final = "file://"
PUBLIC: Final = ("http://", "https://", "git://", FILE)
"""what git can read without credentials; ssh needs some always"""
ANYWHERE: Final = Path("/")
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
    urls: tuple[str, ...] = ()
    """beginnings of git URLs that are fetched with the owner's credentials"""

    @classmethod
    def of_settings(cls, roots: str | None, commands: str | None) -> Self:
        """The policy of two settings, each with its parts separated by ';'."""
        programs = None if commands is None or EVERY in _parts(commands) else tuple(_parts(commands))
        places = _parts(roots or "")
        folders = tuple(Path(place).expanduser().absolute() for place in places if not URL.match(place))
        return cls(None if roots is None else folders, programs, tuple(filter(URL.match, places)))

    @classmethod
    def of_heartbeat(cls, fields: JsonObject) -> Self:
        """The policy that a worker reports; workers of earlier versions report none and allow everything."""
        roots, commands = fields.get("workspace_roots"), fields.get("commands")
        places = list(map(str, roots)) if isinstance(roots, list) else []
        return cls(
            tuple(Path(place) for place in places if not URL.match(place)) if isinstance(roots, list) else None,
            tuple(map(str, commands)) if isinstance(commands, list) else None,
            tuple(filter(URL.match, places)),
        )

    def heartbeat(self) -> JsonObject:
        """The fields of a heartbeat; a root is listed as it is named, and with its links resolved."""
        roots = [str(path) for root in self.roots or () for path in (root, root.resolve())]
        return {
            **({} if self.roots is None else {"workspace_roots": [*dict.fromkeys(roots), *self.urls]}),
            **({} if self.commands is None else {"commands": list(self.commands)}),
        }

    def require_origin(self, origin: str) -> Path | None:
        """The folder of a path, links resolved; None for a URL.

        Raises:
            WorkspaceRefusedError: a folder, or that of a file:// URL, is outside all roots; or a URL needs credentials
                that are not for it.
            WorkspaceError: the path has no meaning on this machine.
        """
        if not URL.match(origin):
            return self.require_folder(origin)
        if origin.startswith(FILE):
            for path in {origin, unquote(origin)}:  # git decodes a URL
                self.require_folder("/" + path.removeprefix(FILE).lstrip("/"))
        elif not origin.startswith(PUBLIC) and not self.lends_credentials(origin):
            raise self.unlent(origin)
        return None

    def lends_credentials(self, url: str) -> bool:
        """Whether a repository is fetched with the owner's credentials.

        Always where runs may read every folder: the credentials are in one of them.
        """
        if self.roots is None or ANYWHERE in self.roots:
            return True
        if ".." in re.split(r"[/\\:]", unquote(url)):  # leads to another repository of the host
            return False
        return any(
            url == named or url.startswith(named if named.endswith(("/", ":")) else f"{named}/") for named in self.urls
        )

    def unlent(self, url: str) -> WorkspaceRefusedError:
        """The refusal of a repository that cannot be read without the owner's credentials."""
        shown = without_secret(url)
        named = shown if url.startswith(PUBLIC) or urlsplit(url).password else url  # the user of ssh is no secret
        return WorkspaceRefusedError(
            f"the owner of this worker on {platform.node()} does not let runs use its git credentials for {shown!r}; "
            f"{self._credentials()}; to allow it, start the worker with "
            f"`--workspace-root {shlex.quote(named.rpartition('/')[0] + '/')}`"
        )

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
            lent = workspace.startswith(PUBLIC) or self.lends_credentials(workspace)
            return "" if lent else f"{self._credentials()}, not {without_secret(workspace)!r}"
        path = "/" + workspace.removeprefix(FILE).lstrip("/") if workspace.startswith(FILE) else workspace
        for named in (path, path.rpartition("@")[0] or path):
            if any(Path(os.path.normpath(named)).is_relative_to(root) for root in self.roots):
                return ""
        return f"{self._readable()}, not {without_secret(workspace)!r}"

    def _credentials(self) -> str:
        return f"git credentials for: {_listed(self.urls)}"

    def _readable(self) -> str:
        return f"folders: {_listed([str(root) for root in self.roots or ()])}"


def _parts(text: str) -> list[str]:
    return [part for piece in text.split(SEPARATOR) if (part := piece.strip())]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words)) or "none"
