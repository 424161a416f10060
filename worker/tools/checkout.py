"""Checks out git commits as plain directories in the cache, once, under a lock. A modified checkout is replaced.

A checkout has no .git, belongs to one commit (and one directory of it) of one repository and is created by a rename, so
that it is never incomplete. Submodules stay empty. The origin's index, hooks and work tree are not touched.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from config.address import without_secret
from config.atomic_files import replace_directory, write_text
from config.errors import WorkspaceError
from config.git import ANONYMOUS, REMOTE, GitError, no_filters, run_git
from config.git_tree import EXECUTABLE, LINK, TooLargeError, TreeFile, list_files, read_files
from config.own_objects import ForeignObjectsError, require_own_objects
from config.owner_policy import Policy
from worker.tools import names
from worker.tools.tree import Tree

GIT_SECONDS = 900.0  # for a large clone over a slow line; other commands take about 1 s
LOGIN_ASKED = (
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "error: 401",
    "error: 403",
)
DIRTY_SECONDS = 30.0  # cache time: `git status` takes up to 1 s on a large tree

_dirty: dict[Path, tuple[float, bool]] = {}  # work tree -> (checked at, dirty)


@dataclass(frozen=True)
class Checkout:
    """A commit's files in the cache."""

    tree: Tree
    commit: str
    restore: Callable[[], object]
    """makes the checkout anew if it was edited or deleted"""
    dirty: bool = False


def from_work_tree(path: Path, rev: str | None, *, cache: Path) -> Checkout | None:
    """Check out a commit of a local work tree (default: HEAD). None if no commit contains this directory.

    Raises:
        WorkspaceError: git fails, or the revision does not exist here.
    """
    if shutil.which("git") is None and rev is None and not any((up / ".git").exists() for up in (path, *path.parents)):
        return None
    try:
        prefix = _decode(run_git(path, "rev-parse", "--show-prefix", timeout=GIT_SECONDS)).strip().rstrip("/")
    except GitError as error:
        if rev is None and "not a git repository" in error.stderr:
            return None
        raise WorkspaceError(f"{str(path)!r} cannot be read as a git work tree: {error}") from error
    commit = _commit(path, rev or "HEAD")
    held = commit is not None and _query(path, "cat-file", "-e", f"{commit}:{prefix}") is not None
    if rev is None and not held:  # nothing committed yet, or a directory that git ignores
        return None
    if commit is None:
        raise WorkspaceError(f"{str(path)!r} has no commit {rev!r} on this machine; run `git fetch` there")
    if not held:
        raise WorkspaceError(f"commit {rev!r} of {str(path)!r} does not hold the directory {prefix!r}")
    return _checkout(path, commit, cache, prefix=prefix, dirty=_is_dirty(path))


def from_url(url: str, rev: str, *, cache: Path, policy: Policy) -> Checkout:
    """Check out a commit of a remote repository from a cached bare clone. Fetches branches at most once a minute.

    Raises:
        WorkspaceRefusedError: it cannot be read without credentials, which the policy does not lend.
        WorkspaceError: the repository cannot be cloned or fetched, or has no such revision.
    """
    mirror = _mirror(url, cache, policy)
    mirror.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{mirror}.lock"):
        if not mirror.exists():
            _clone(url, mirror, policy)
        commit = _commit(mirror, rev)
        if commit is None or (not commit.startswith(rev) and _fetched_ago(mirror) > 60):
            with _remote(url, policy, "fetched") as env:
                run_git(mirror, "fetch", "--quiet", "--prune", "origin", timeout=GIT_SECONDS, env=env)
            commit = _commit(mirror, rev)
    if commit is None:
        raise WorkspaceError(f"{without_secret(url)!r} has no revision {rev!r}; check the name after the '@'")
    return _checkout(mirror, commit, cache)


def from_cache(url: str, commit: str, *, cache: Path, policy: Policy) -> Checkout:
    """A commit of a remote repository from the cache alone; nothing is cloned or fetched.

    Raises:
        WorkspaceError: the cache has neither the checkout nor a clone with the commit.
    """
    mirror = _mirror(url, cache, policy)
    if not _place(mirror, commit, "", cache).is_dir() and not mirror.is_dir():
        raise WorkspaceError(f"{without_secret(url)!r} has not been fetched on this machine")
    return _checkout(mirror, commit, cache)


def _mirror(url: str, cache: Path, policy: Policy) -> Path:
    """What was fetched with credentials is not for runs that get none."""
    key = url if policy.lends_credentials(url) else f"{url}\0anonymous"
    return cache / "mirrors" / hashlib.sha256(key.encode()).hexdigest()[:16]


def _checkout(repository: Path, commit: str, cache: Path, *, prefix: str = "", dirty: bool = False) -> Checkout:
    def made() -> Tree:
        place = _place(repository, commit, prefix, cache)
        return _made(lambda into: _write_files(repository, commit, prefix, into), place, prefix)

    return Checkout(made(), commit, made, dirty)


def _place(repository: Path, commit: str, prefix: str, cache: Path) -> Path:
    """Git does not compare an object's content with its id, so that no repository's checkout is another's."""
    key = hashlib.sha256(f"{repository}\0{prefix}".encode(errors="surrogateescape")).hexdigest()[:16]
    return cache / "workspaces" / f"{commit}-{key}"


def _made(write: Callable[[Path], None], root: Path, prefix: str) -> Tree:
    root.parent.mkdir(parents=True, exist_ok=True)
    recorded = root.with_name(f"{root.name}.digest")
    with FileLock(f"{root}.lock"):
        if root.is_dir() and recorded.exists():
            tree = Tree.read(root / prefix)
            if recorded.read_text() == tree.digest:
                return tree
        with replace_directory(root) as fresh:
            write(fresh)
            tree = Tree.read(fresh / prefix)
        write_text(recorded, tree.digest)
    return tree.moved(root / prefix)


def _write_files(repository: Path, commit: str, prefix: str, into: Path) -> None:
    """Write the commit's files below `prefix`, from git's objects: a checkout would run the repository's filters."""
    top = into / prefix
    top.mkdir(parents=True, exist_ok=True)
    try:
        files = _listed(repository, f"{commit}:{prefix}")
        links = []
        for file, content in read_files(repository, files, timeout=GIT_SECONDS):
            place = top / _safe(repository, file.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == LINK:
                links.append((place, content))
                continue
            with place.open("xb") as opened:
                opened.write(content)
            if file.mode == EXECUTABLE:
                place.chmod(place.stat().st_mode | 0o111)
        for place, target in links:  # last, so that no file is written through a link
            place.symlink_to(os.fsdecode(target))
    except TooLargeError as error:
        raise WorkspaceError(f"{str(repository)!r} holds {error}; name a smaller directory of it") from error
    except ForeignObjectsError as error:
        raise WorkspaceError(f"{str(repository)!r} is refused: {error}") from error
    except GitError as error:
        raise WorkspaceError(f"git failed in {str(repository)!r}: {error}") from error
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"commit {commit} of {str(repository)!r} cannot be written: {error}") from error


def _listed(repository: Path, tree: str) -> list[TreeFile]:
    return list_files(repository, tree, timeout=GIT_SECONDS, most=names.MAX_FILES, most_bytes=names.MAX_BYTES)


def _safe(repository: Path, path: bytes) -> str:
    parts = os.fsdecode(path).split("/")
    if any(part in {"", ".", ".."} or part.casefold() == ".git" for part in parts):
        raise WorkspaceError(f"{str(repository)!r} holds a path that leads out of it, {path!r}")
    return "/".join(parts)


def _clone(url: str, mirror: Path, policy: Policy) -> None:
    with replace_directory(mirror) as made:
        with _remote(url, policy, "cloned") as env:
            if url.startswith("file:"):
                require_own_objects(Path(unquote(urlsplit(url).path)), timeout=GIT_SECONDS)
            run_git(made, "clone", "--quiet", "--mirror", "--", url, ".", timeout=GIT_SECONDS, env=env)
        (made / "FETCH_HEAD").touch()


@contextmanager
def _remote(url: str, policy: Policy, done: str) -> Iterator[dict[str, str]]:
    """The environment to reach a repository in; git's errors as ours."""
    lent = policy.lends_credentials(url)
    try:
        yield REMOTE if lent else ANONYMOUS
    except GitError as error:
        if not lent and any(sign in error.stderr for sign in LOGIN_ASKED):
            raise policy.unlent(url) from error
        raise WorkspaceError(f"{without_secret(url)!r} cannot be {done}: {error}") from error


def _commit(repository: Path, rev: str) -> str | None:
    return _query(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")


def _is_dirty(path: Path) -> bool:
    known = _dirty.get(path)
    if known is None or time.monotonic() - known[0] > DIRTY_SECONDS:
        known = (time.monotonic(), bool(_status(path).strip()))
        _dirty[path] = known
    return known[1]


def _status(path: Path) -> bytes:
    try:
        _listed(path, "HEAD:./")  # git status has no limit of time or memory
    except (TooLargeError, ForeignObjectsError) as error:
        return str(error).encode()
    except GitError:  # nothing is committed here
        pass
    try:
        env = no_filters(path, timeout=GIT_SECONDS)
        return run_git(path, "status", "--porcelain", "--ignore-submodules", "--", ".", timeout=GIT_SECONDS, env=env)
    except GitError as error:
        raise WorkspaceError(f"git failed in {str(path)!r}: {error}") from error


def _fetched_ago(mirror: Path) -> float:
    return time.time() - (mirror / "FETCH_HEAD").stat().st_mtime if (mirror / "FETCH_HEAD").exists() else float("inf")


def _query(where: Path, *arguments: str) -> str | None:
    """The output of a git command, or None if it fails."""
    try:
        return _decode(run_git(where, *arguments, timeout=GIT_SECONDS)).strip()
    except GitError as error:
        if error.code is None:
            raise WorkspaceError(str(error)) from error
        return None


def _decode(output: bytes) -> str:
    return output.decode("utf-8", errors="surrogateescape")
