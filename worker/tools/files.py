"""Restricts reads to one directory: the sandbox of the tools.

Covered: absolute paths, "~" and ".." in a path; symbolic links that lead out, at any depth; devices, fifos and
sockets; directories, binary files and files that are too large for text; version-control, environment and cache
directories; files that differ from those that were opened (see tree.py); files for
secrets, by their names.
Not covered: hard links into the workspace (they are regular files); another process that swaps directories while a
tool runs; the actions of a program started by run_command.
"""

from collections.abc import Sequence

from worker.secrets import is_secret_file
from worker.tools.patterns import RefusedError
from worker.tools.tree import Tree

FILE_BYTES = 2_000_000  # source files are far smaller; larger files are data
SNIFFED_BYTES = 8192  # a NUL byte in here means binary, as in git and grep
SUGGESTIONS = 3  # similar paths listed when a path does not exist


class BinaryError(RefusedError):
    """The file is binary."""


def locate(tree: Tree, text: str) -> str:
    """The path that a model's path leads to, with links followed; "" for the top.

    Raises:
        RefusedError: it does not exist, lies outside, or is not part of the workspace.
    """
    parts = [part for part in text.strip().split("/") if part not in ("", ".")]
    if text.strip().startswith(("/", "~")) or "\0" in text:
        raise RefusedError(f"{text!r} is not inside the workspace; give a path relative to it, like 'src/main.py'")
    if ".." in parts:
        raise RefusedError(f"{text!r} may not hold '..'; give a path from the top of the workspace")
    path = ""
    for part in parts:
        path = f"{path}/{part}" if path else part
        if path in tree.skipped:
            raise RefusedError(f"{text!r} is version-control, environment or cache data, not part of the workspace")
        target = tree.links.get(path, path)
        if target is None:
            raise RefusedError(f"{text!r} is a link out of the workspace and cannot be read")
        path = target
    if tree.size(path) is None and path not in tree.listings and path not in tree.devices:
        raise RefusedError(_not_there(tree, text))
    return path


def files_at(tree: Tree, path: str, glob: str) -> list[str]:
    """The files at or under a path whose name matches the glob, or whose path does if the glob has a "/".

    Raises:
        RefusedError: see `locate`; or the path is neither a file nor a directory.
    """
    located = locate(tree, path)
    if located in tree.listings:
        return list(tree.matching(located, glob))
    if located in tree.devices:
        raise RefusedError(f"{path!r} is a device, pipe or socket, not a file")
    return [located]


class SecretFileError(BinaryError):
    """A file for secrets, by its name. A search leaves it out."""


def read_bytes(tree: Tree, located: str, named: str, *, allowed: Sequence[str], masked: bool) -> bytes:
    """The content of a located text file; if `masked`, without the values of its secrets.

    Raises:
        RefusedError: it is a directory, a device, a file for secrets that is not `allowed`, too large or binary.
        EditedError: it is no longer the content that was opened.
    """
    if located in tree.listings:
        raise RefusedError(f"{named!r} is a directory; list_dir shows what it holds")
    if is_secret_file(located, allowed=allowed):
        raise SecretFileError(f"{named!r} is a file for secrets and cannot be read; look at other files")
    size = tree.size(located)
    if size is None:
        raise RefusedError(f"{named!r} is a device, pipe or socket, not a file")
    if size > FILE_BYTES:
        raise RefusedError(f"{named!r} has {size:,} bytes; files over {FILE_BYTES:,} bytes are not read")
    content = tree.content(located)
    if b"\0" in content[:SNIFFED_BYTES]:
        raise BinaryError(f"{named!r} is a binary file and cannot be shown as text")
    return tree.masked(located, content) if masked else content


def _not_there(tree: Tree, text: str) -> str:
    name = text.rstrip("/").rsplit("/", 1)[-1]
    namesakes = [path for path in tree.paths() if path.rsplit("/", 1)[-1] == name][:SUGGESTIONS]
    hint = (
        f"; there is {', '.join(repr(path) for path in namesakes)}"
        if namesakes
        else "; find_files or list_dir can look"
    )
    return f"there is no {text!r} in the workspace{hint}"
