"""Runs git independently of the caller's environment and the repository's configuration.

Covered: GIT_* variables of the caller, hooks, file system monitors, quoted paths, translated messages, optional locks,
prompts on the terminal, and every transport: a repository may be configured to fetch missing objects with a command of
its own. Only `status` and a checkout run filters; `no_filters` switches them off.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.environment import outside_environment
from config.errors import ApplejackError

FIXED: Final = {"GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
REMOTE: Final = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}  # for `env` of clone and fetch
OPTIONS: Final = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")

FILTER_KEYS: Final = r"^filter\..*\.(clean|smudge|process|required)$"


class GitError(ApplejackError):
    """A git command failed. `code` is its exit status, or None if git is missing or timed out."""

    def __init__(self, reason: str, *, code: int | None = None, stderr: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.stderr = stderr


class GitTimeoutError(GitError):
    """A git command took too long and was killed."""


def run_git(
    where: Path, *arguments: str, timeout: float, given: bytes = b"", env: Mapping[str, str] | None = None
) -> bytes:
    """Run a git command in a directory and return its stdout; `timeout` is in seconds, `given` is its stdin.

    Raises:
        GitError: git is not installed, took too long or failed; the text is one line.
    """
    inherited = {name: value for name, value in outside_environment().items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *OPTIONS, "-C", str(where), *arguments],
            env=inherited | FIXED | dict(env or {}),
            input=given,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise GitError("git is not installed on this machine; install it, or name a plain directory") from None
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise GitTimeoutError(f"git {arguments[0]} took longer than {timeout:.0f} s in {str(where)!r}") from None
    if done.returncode != 0:
        stderr = done.stderr.decode(errors="replace").strip()
        reason = stderr.splitlines()[-1] if stderr else "no reason given"
        raise GitError(reason, code=done.returncode, stderr=stderr)
    return done.stdout


def no_filters(where: Path, *, timeout: float) -> dict[str, str]:
    """Variables for `env` that replace the filters of a repository's configuration by none. Raises GitError."""
    try:
        found = run_git(where, "config", "-z", "--name-only", "--get-regexp", FILTER_KEYS, timeout=timeout)
    except GitError as error:
        if error.code == 1:  # none is configured
            return {}
        raise
    keys = sorted({key.decode(errors="surrogateescape") for key in found.split(b"\0") if key})
    variables = {"GIT_CONFIG_COUNT": str(len(keys))}
    for number, key in enumerate(keys):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = "false" if key.endswith(".required") else ""
    return variables
