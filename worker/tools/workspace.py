"""Opens the pinned code that tools read: a git commit checked out into a cache, or a directory and its content digest.

A workspace is named `PATH`, `PATH@REV`, `URL@REV`, or `package:NAME@VERSION` for an installed package. A path inside a
git work tree means the commit HEAD, or REV. Uncommitted changes are not read, but recorded as dirty. A directory that
git does not track is read in place.
"""

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from config import packages
from config.address import without_secret
from config.errors import WorkspaceError
from config.owner_policy import URL, Policy
from config.records import Pin
from worker.tools import checkout
from worker.tools.tree import Tree

_REV = re.compile(r"^[\w][\w./^~+-]*$")  # a leading "-" would be an option to git

EVERYTHING = Policy()
_COMMIT = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")  # of SHA-1 or SHA-256 repositories; no branch or "HEAD"


@dataclass(frozen=True)
class Workspace:
    """A directory that tools may read, and the pin of its code."""

    root: Path
    pin: Pin
    opened: Tree | None = field(default=None, compare=False, repr=False)
    """the files with the pinned content; None: those that the first tool finds"""
    restore: Callable[[], object] | None = field(default=None, compare=False, repr=False)
    """makes an edited checkout anew; None for a directory that is read in place"""
    allow_files: tuple[str, ...] = field(default=(), compare=False)
    """globs of files for secrets that tools may read all the same"""
    mask_secrets: bool = field(default=False, compare=False)
    """whether tools read the kind of each secret in the place of its value"""

    @cached_property
    def tree(self) -> Tree:
        """The files that tools read."""
        return self.opened or Tree.read(self.root)


def parse(text: str) -> tuple[str, str | None]:
    """The origin, and the revision if there is one, of "PATH", "PATH@REV" or "URL@REV".

    Raises:
        WorkspaceError: the text is empty, the revision is invalid, or a URL has no revision.
    """
    if not text.strip() or "\0" in text:
        raise WorkspaceError(f"{text!r} is not a workspace; give PATH, PATH@REV or URL@REV")
    shown = without_secret(text)
    url = URL.match(text)
    # The "@" of user@host is part of a URL, and a directory's name may contain "@".
    first = (text.find("/", url.end()) if "://" in text else url.end()) if url else 0
    at = text.rfind("@")
    if at <= 0 or (url and (first < 0 or at < first)) or (not url and Path(text).expanduser().is_dir()):
        if url:
            raise WorkspaceError(f"{shown!r} has no revision; give URL@REV, so that every worker reads the same code")
        return text, None
    origin, rev = text[:at], text[at + 1 :]
    if not _REV.match(rev):
        raise WorkspaceError(f"{shown!r}: {rev!r} is not a revision; give a commit, tag or branch after the '@'")
    return origin, rev


def require_allowed(text: str, policy: Policy) -> None:
    """Raise WorkspaceRefusedError if the owner of this worker does not let runs read the workspace; nothing is read."""
    if text.startswith(packages.PREFIX):
        policy.require_package(packages.resolve(text))
    else:
        policy.require_origin(parse(text)[0])


def open_workspace(text: str, *, cache: Path, expect: Pin | None = None, policy: Policy = EVERYTHING) -> Workspace:
    """The workspace, ready to read. Several workers may open the same one at the same time.

    Args:
        cache: directory of the checkouts; it may be deleted at any time.
        expect: the run's pin. Its commit is opened even if HEAD or the branch REV has moved.
        policy: what the owner of this worker allows.

    Raises:
        WorkspaceRefusedError: the owner does not allow it.
        WorkspaceError: it does not exist, git lacks the commit, it is too large, or it differs from `expect`.
    """
    if text.startswith(packages.PREFIX):
        workspace = _in_place(policy.require_package(packages.resolve(text)), text)
        if expect is not None:
            _compare(workspace.pin, expect)
        return workspace
    origin, rev = parse(text)
    path = policy.require_origin(origin)
    cache = cache.resolve()  # git runs in other directories
    pinned = expect.commit if expect else None
    if pinned and rev and re.fullmatch("[0-9a-f]{7,40}", rev) and not pinned.startswith(rev):
        raise WorkspaceError(f"{without_secret(text)!r} is not the commit that the run is pinned to, {pinned!r}")
    name = without_secret(origin)
    if path is None:
        found: checkout.Checkout | None = checkout.from_url(origin, pinned or rev or "", cache=cache, policy=policy)
    elif not path.is_dir():
        raise WorkspaceError(
            f"there is no directory {origin!r} on {platform.node()}; copy it there, or submit with URL@REV"
        )
    else:
        found = checkout.from_work_tree(path, pinned or rev, cache=cache)
    if found is not None:
        workspace = _checked_out(found, Pin(origin=name, commit=found.commit, dirty=found.dirty))
    else:
        assert path is not None  # a URL has a checkout
        workspace = _in_place(path, name)
    if expect is not None:
        _compare(workspace.pin, expect)
    return workspace


def reopen(pin: Pin, *, cache: Path, policy: Policy = EVERYTHING) -> Workspace:
    """The code of a recorded pin, from what is on this machine: no repository is cloned or fetched.

    Its pin has the recorded commit. A directory that was pinned by its digest has the digest of its present content.

    Raises:
        WorkspaceRefusedError: the owner of this worker does not allow it.
        WorkspaceError: the code is not on this machine, or the pin has neither a commit nor a digest.
    """
    path, cache = policy.require_origin(pin.origin), cache.resolve()
    if pin.commit and not _COMMIT.match(pin.commit):
        raise WorkspaceError(f"{pin.commit!r} is not a commit; a pin has all its hex digits")
    if pin.commit and path is None:
        found: checkout.Checkout | None = checkout.from_cache(pin.origin, pin.commit, cache=cache, policy=policy)
    elif path is None or not path.is_dir():
        raise WorkspaceError(f"there is no directory {pin.origin!r} on this machine")
    elif pin.commit:
        found = checkout.from_work_tree(path, pin.commit, cache=cache)
    elif pin.digest:
        return _in_place(path, pin.origin)
    else:
        raise WorkspaceError(f"{pin.origin!r} is not pinned to a commit or a digest")
    assert found is not None  # from_work_tree returns None only without a revision
    return _checked_out(found, pin)


def _in_place(path: Path, name: str) -> Workspace:
    tree = Tree.read(path)
    return Workspace(tree.root, Pin(origin=name, digest=tree.digest), tree)


def _checked_out(found: checkout.Checkout, pin: Pin) -> Workspace:
    return Workspace(found.tree.root, pin, found.tree, found.restore)


def _compare(pin: Pin, expect: Pin) -> None:
    here, wanted = pin.commit or f"digest {pin.digest}", expect.commit or f"digest {expect.digest}"
    if here != wanted:
        raise WorkspaceError(
            f"{pin.origin!r} has different code here ({here}) than the run's pin ({wanted}); "
            "bring this machine's copy to the same state, or name the workspace by a git commit"
        )
