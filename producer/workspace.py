"""Resolves the workspace of a run to a git commit, so that every machine reads the same code."""

from pathlib import Path

from config.errors import UsageError
from config.git import GitError, run_git

GIT_SECONDS = 30
REV_PARSE = ("rev-parse", "--verify", "--quiet", "--end-of-options")


def resolve_workspace(text: str | None) -> str | None:
    """Resolve PATH or PATH@REV to ABSOLUTE_PATH@COMMIT, or to ABSOLUTE_PATH for a directory outside git.

    A URL is returned unchanged: the workers fetch it. Raises UsageError if a local path or its revision does not exist.
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
        raise UsageError(f"the workspace {text!r} does not exist; give a directory, or PATH@REV of a git repository")
    path = path.resolve()
    commit_id = commit(path, revision or "HEAD")
    if revision and not commit_id:
        raise UsageError(f"{str(path)!r} has no git revision {revision!r}; nothing was queued")
    return f"{path}@{commit_id}" if commit_id else str(path)


def commit(path: Path, revision: str) -> str | None:
    """The commit of a revision; None if `path` is not the root of a git work tree or has no such revision."""
    if not (path / ".git").exists():
        return None
    try:
        output = run_git(path, *REV_PARSE, f"{revision}^{{commit}}", timeout=GIT_SECONDS)
    except GitError:
        return None
    return output.decode().strip() or None
