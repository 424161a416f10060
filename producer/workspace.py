"""A workspace as a run names it: a git revision made a commit, so that every machine reads the same code."""

from pathlib import Path

from config.errors import UsageError
from config.git import GitError, run_git

GIT_SECONDS = 30
REV_PARSE = ("rev-parse", "--verify", "--quiet", "--end-of-options")


def resolve_workspace(text: str | None) -> str | None:
    """PATH, PATH@REV or URL@REV with the path whole and the revision a commit; a plain directory as its path.

    UsageError when a local path or its revision is not there. A URL is taken as it is: the workers fetch it.
    """
    if text is None or "://" in text or text.startswith("git@"):
        return text
    path, revision = Path(text).expanduser(), None
    if not path.exists() and "@" in text:
        head, _, revision = text.rpartition("@")
        path = Path(head).expanduser()
    if path.is_file():
        raise UsageError(f"the workspace {text!r} is a file; give the directory that holds the code")
    if not path.is_dir():
        raise UsageError(f"there is no workspace {text!r}; give a directory, or PATH@REV of a git repository")
    path = path.resolve()
    inside = commit(path, revision or "HEAD")
    if revision and not inside:
        raise UsageError(f"{str(path)!r} has no git revision {revision!r}; nothing was queued")
    return f"{path}@{inside}" if inside else str(path)


def commit(path: Path, revision: str) -> str | None:
    """The commit of a revision, None when `path` is not the top of a git work tree or has no such revision."""
    if not (path / ".git").exists():
        return None
    try:
        found = run_git(path, *REV_PARSE, f"{revision}^{{commit}}", timeout=GIT_SECONDS)
    except GitError:
        return None
    return found.decode().strip() or None
