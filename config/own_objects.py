"""Refuses git directories that lend a directory the objects of another repository, which its author may not read.

Read objects are shown to a teacher and stored. A repository gets those of another one by `objects/info/alternates`, by
links in `objects`, by `commondir`, or by a file or link `.git` that names the other.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from config.git import GitError, run_git


class ForeignObjectsError(GitError):
    """The objects may be those of another repository; the text says what to do."""


def require_own_objects(where: Path, *, timeout: float) -> None:
    """Raise ForeignObjectsError unless the repository around a directory reads its own objects; GitError if none is."""
    home = _asked(where, "--absolute-git-dir", timeout)
    common = _asked(where, "--git-common-dir", timeout)
    where = where.resolve()
    places = (where, *where.parents)
    top = next((up for up in places if os.path.lexists(up / ".git")), where)
    inside = home in (top / ".git", *places)
    if not (common == home if inside else _names_back(home, common, top, timeout)):
        raise ForeignObjectsError(
            f"its git directory {str(home)!r} does not name {str(top)!r} as its own; if they belong together, run "
            "`git worktree repair` or `git config core.worktree` there"
        )
    if (common / "objects/info/alternates").exists() and (common / "objects/info/alternates").read_bytes().strip():
        raise ForeignObjectsError(
            "it borrows objects of another repository; copy them with "
            "`git repack -a -d && rm .git/objects/info/alternates`"
        )
    if link := next(_links(common / "objects"), None):
        raise ForeignObjectsError(f"{str(link)!r} is a link; copy the repository with `git clone --no-local`")


def _names_back(home: Path, common: Path, top: Path, timeout: float) -> bool:
    """Whether a git directory elsewhere is that of the work tree, or of the submodule, at `top`."""
    if common != home:
        named = home / "gitdir"
        if home.parent != common / "worktrees" or not named.is_file():
            return False
        back = home / os.fsdecode(named.read_bytes().removesuffix(b"\n"))
        return back.name == ".git" and back.parent.resolve() == top
    try:
        tree = run_git(top, "config", "-z", "--get", "core.worktree", timeout=timeout)
    except GitError:  # it names none
        return False
    return (home / os.fsdecode(tree.removesuffix(b"\0"))).resolve() == top


def _links(objects: Path) -> Iterator[Path]:
    if objects.is_symlink():
        yield objects
    for folder in (objects, objects / "pack", objects / "info"):
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path.is_symlink())


def _asked(where: Path, option: str, timeout: float) -> Path:
    answer = run_git(where, "rev-parse", option, timeout=timeout)
    return (where / os.fsdecode(answer.removesuffix(b"\n"))).resolve()
