"""Resolves the workspace of a run to a git commit, so that every machine reads the same code."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from config.errors import UsageError
from config.git import GitError, run_git
from config.prompts import Loaded
from config.records import Prompt

GIT_SECONDS = 30
LINES_SHOWN = 10  # of a prompts file, in one warning
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


def resolve_prompts(loaded: Loaded, file: Path, *, warn: Callable[[str], object]) -> list[Prompt]:
    """The prompts with their own workspaces resolved as that of the run.

    An absolute path that is not on this machine may be on the workers': it stays as it is, and `warn` gets a line that
    names it. A relative path has a meaning here only. Raises UsageError, with the first line that names it, if it does
    not exist here.
    """
    resolved = cache(resolve_workspace)
    elsewhere: dict[str, list[int]] = {}
    prompts = []
    for prompt, line in zip(loaded.prompts, loaded.lines, strict=True):
        text, here = prompt.workspace, prompt
        if text and Path(text).is_absolute() and not _is_here(text):
            elsewhere.setdefault(text, []).append(line)
        elif text:
            try:
                here = prompt.model_copy(update={"workspace": resolved(text)})
            except UsageError as error:
                raise UsageError(f"{file}:{line}: {error}") from None
        prompts.append(here)
    for text, lines in elsewhere.items():
        shown = ", ".join(map(str, lines[:LINES_SHOWN])) + (" ..." if len(lines) > LINES_SHOWN else "")
        warn(
            f"{file}:{shown}: the workspace {text!r} is not on this machine; workers without it fail these jobs as "
            "workspace_unavailable, so copy it to each of them or name URL@REV of a git repository"
        )
    return prompts


def _is_here(text: str) -> bool:
    return Path(text).exists() or Path(text.rpartition("@")[0] or text).exists()


def commit(path: Path, revision: str) -> str | None:
    """The commit of a revision; None if `path` is not the root of a git work tree or has no such revision."""
    if not (path / ".git").exists():
        return None
    try:
        output = run_git(path, *REV_PARSE, f"{revision}^{{commit}}", timeout=GIT_SECONDS)
    except GitError:
        return None
    return output.decode().strip() or None
