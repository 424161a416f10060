"""Runs git independently of the caller's environment and the repository's configuration.

Covered: GIT_* variables of the caller, hooks, file system monitors, quoted paths, translated messages, optional locks,
replaced objects, prompts on the terminal, and every transport: a repository may be configured to fetch missing objects
with a command of its own. Only `status` and a checkout run filters; `no_filters` switches them off.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from config.environment import outside_environment
from config.errors import ApplejackError

FIXED: Final = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_REPLACE_OBJECTS": "1",  # a ref of the repository would give a commit other content
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
REMOTE: Final = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}  # for `env` of clone and fetch
ANONYMOUS: Final = {  # the same, without what this user may use to log in
    "GIT_ALLOW_PROTOCOL": "file:git:http:https",  # ssh finds its keys without HOME
    "GIT_CONFIG_GLOBAL": os.devnull,  # tokens in headers and in insteadOf, client certificates
    "GIT_CONFIG_COUNT": "3",
    "GIT_CONFIG_KEY_0": "credential.helper",  # macOS names one in the system's file
    "GIT_CONFIG_VALUE_0": "",
    "GIT_CONFIG_KEY_1": "core.askPass",
    "GIT_CONFIG_VALUE_1": "",
    "GIT_CONFIG_KEY_2": "http.emptyAuth",  # Kerberos tickets
    "GIT_CONFIG_VALUE_2": "false",
    "HOME": os.devnull,  # .netrc
    "SSH_ASKPASS": "",
}
OPTIONS: Final = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")

BLOCK: Final = 1 << 16  # bytes
MOST_BYTES: Final = 1 << 20  # of one entry, or of the errors that git prints

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
    try:
        with _starting():
            done = subprocess.run(
                _command(where, arguments),
                env=_environment(env),
                input=given,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise _timeout(where, arguments, timeout) from None
    if done.returncode != 0:
        raise _failure(done.returncode, done.stderr)
    return done.stdout


def stream_git(where: Path, *arguments: str, timeout: float) -> Generator[bytes, None, None]:
    """Yield the NUL-terminated entries of a git command's output, which may be larger than memory.

    The command is killed when the generator is closed, or after `timeout` seconds. Raises GitError as run_git.
    """
    with tempfile.TemporaryFile() as stderr:
        with _starting():
            child = subprocess.Popen(
                _command(where, arguments),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        clock = threading.Timer(timeout, child.kill)
        clock.start()
        try:
            yield from _entries(child)
            code = child.wait()
        finally:
            clock.cancel()
            child.kill()
            child.communicate()
        if code == -signal.SIGKILL:
            raise _timeout(where, arguments, timeout)
        if code != 0:
            stderr.seek(0)
            raise _failure(code, stderr.read(MOST_BYTES))


def _entries(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert child.stdout is not None
    rest = b""
    while block := child.stdout.read(BLOCK):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
        if len(rest) > MOST_BYTES:
            raise GitError(f"git printed an entry of more than {MOST_BYTES:,} bytes")


def _command(where: Path, arguments: Sequence[str]) -> list[str]:
    return ["git", *OPTIONS, "-C", str(where), *arguments]


def _environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    inherited = {name: value for name, value in outside_environment().items() if not name.startswith("GIT_")}
    return inherited | FIXED | dict(env or {})


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise GitError("git is not installed on this machine; install it, or name a plain directory") from None
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from error


def _timeout(where: Path, arguments: Sequence[str], timeout: float) -> GitTimeoutError:
    return GitTimeoutError(f"git {arguments[0]} took longer than {timeout:.0f} s in {str(where)!r}")


def _failure(code: int, output: bytes) -> GitError:
    stderr = output.decode(errors="replace").strip()
    return GitError(stderr.splitlines()[-1] if stderr else "no reason given", code=code, stderr=stderr)


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
