"""run_command: runs one allowed program in the workspace, without a shell and for a limited time.

Enforced: only listed programs on PATH. No shell, so no pipes, redirections or substitutions. No arguments with absolute
paths, home directories, ".." or links out of the workspace. Limits on time and output size. The program runs in a
sandbox (sandbox.py), which holds whatever else it starts, and is refused where there is none. A worker's owner may do
without (APPLEJACK_UNSANDBOXED=1): then an allowed program can write to the workspace and use the network.
"""

import os
import re
import selectors
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from config.settings import settings
from config.watchdog import kill_group
from worker.tools import sandbox
from worker.tools.patterns import RefusedError

COMMAND_SECONDS = 20.0  # enough for reading; not for builds
LOOK_SECONDS = 0.25  # how often the memory of its processes is counted
STREAM_BYTES = 200_000  # limit for each of stdout and stderr; beyond it the program is killed
STREAM_CHARS = 1_800  # shown of each stream
_SHELL = frozenset("();<>|&")
_ESCAPES = re.compile(r"(^|[=:,@])[/~]|(^|[/=:,@])\.\.(/|$)|^-\w+/|://")


def run(
    root: Path,
    command: str,
    *,
    allow: Sequence[str],
    unsandboxed: bool | None = None,
    hidden: Sequence[str] = (),
    clean: Callable[[str], str] | None = None,
) -> str:
    """Run the command; return its exit code, stdout and stderr as text.

    Args:
        allow: names of programs.
        unsandboxed: None leaves it to the settings.
        hidden: files of the workspace that the program cannot read in its sandbox.
        clean: applied to all that it printed, before that is shortened.

    Raises:
        RefusedError: not an allowed program, shell syntax, an argument that leads out of the workspace, or no sandbox.
    """
    argv = _argv(root, command, allow)
    program = shutil.which(argv[0])
    if program is None:
        raise RefusedError(f"{argv[0]!r} is not installed on this machine; use another tool")
    unsandboxed = settings().unsandboxed if unsandboxed is None else unsandboxed
    if not unsandboxed and (reason := sandbox.missing()):
        raise RefusedError(f"no program can be run on this worker, which has no sandbox: {reason}; use another tool")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        argv = [program, *argv[1:]]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "LC_ALL": "C.UTF-8", "PAGER": "cat"}
        if not unsandboxed:
            argv = sandbox.sandboxed(
                program, argv[1:], root=root, scratch=scratch, seconds=COMMAND_SECONDS, hidden=hidden
            )
            env = sandbox.environment(program, scratch)
        env["GIT_CEILING_DIRECTORIES"] = str(root.resolve().parent)  # git would find a repository around the checkout
        process = subprocess.Popen(
            argv,
            cwd=root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                out, err, ended = _collect(process)
            finally:
                kill_group(process.pid)
                process.wait()
    code = f"exit code {process.returncode}" if ended is None else f"ended by us: {ended}"
    return "\n".join([code, *_shown("stdout", out, clean), *_shown("stderr", err, clean)])


def _argv(root: Path, command: str, allow: Sequence[str]) -> list[str]:
    try:
        argv = shlex.split(command)
        # also splits off unquoted shell operators: "a; b" gives "a", ";", "b"
        pieces = list(shlex.shlex(command, posix=True, punctuation_chars=True))
    except ValueError as error:
        raise RefusedError(f"the command cannot be read: {error}") from None
    if not argv or argv[0] not in allow:
        raise RefusedError(f"{argv[0] if argv else command!r} is not allowed; allowed programs: {', '.join(allow)}")
    for piece in (*pieces, *argv[1:]):
        if (piece and _SHELL.issuperset(piece)) or "`" in piece or "$(" in piece:
            raise RefusedError(f"there is no shell, so {piece!r} cannot be used; run one program with its arguments")
    for token in argv[1:]:
        if _ESCAPES.search(token) or "\0" in token:
            raise RefusedError(f"{token!r} leads out of the workspace; name paths relative to it")
        attached = [token[start:] for start in range(2, len(token))] if token.startswith("-") else []  # -rfFILE
        for path in (*re.split("[=:,@]", token), *attached):
            _stays_inside(root, path)
    return argv


def _stays_inside(root: Path, path: str) -> None:
    try:
        real = (root / path).resolve()
    except (OSError, RuntimeError, ValueError):  # a link cycle, or an invalid name
        raise RefusedError(f"{path!r} is no path") from None
    if not real.is_relative_to(root.resolve()):
        raise RefusedError(f"{path!r} is a link out of the workspace and cannot be used")


def _collect(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes, str | None]:
    """Read both streams up to their limit; also return why the program was stopped early, or None."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + COMMAND_SECONDS
    look = time.monotonic() + LOOK_SECONDS
    said = {"stdout": bytearray(), "stderr": bytearray()}
    ended = None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, said["stdout"])
        waiting.register(process.stderr, selectors.EVENT_READ, said["stderr"])
        while waiting.get_map() and ended is None:
            left = deadline - time.monotonic()
            for key, _ in waiting.select(min(max(left, 0), LOOK_SECONDS)):
                chunk = os.read(key.fd, 65536)
                key.data.extend(chunk)
                if not chunk:
                    waiting.unregister(key.fileobj)
                elif len(key.data) > STREAM_BYTES:
                    ended = f"it printed more than {STREAM_BYTES:,} bytes"
            if left <= 0 and ended is None:
                ended = f"it took longer than {COMMAND_SECONDS:.0f} s"
            if time.monotonic() >= look and ended is None:
                look = time.monotonic() + LOOK_SECONDS
                if _memory(process.pid) > sandbox.MEMORY_BYTES:
                    ended = f"its processes used more than {sandbox.MEMORY_BYTES >> 30} GB of memory"
    if ended is None:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            ended = f"it took longer than {COMMAND_SECONDS:.0f} s"
    return bytes(said["stdout"]), bytes(said["stderr"]), ended


def _memory(pid: int) -> int:
    """Resident bytes of a process and all that it started."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def _shown(name: str, content: bytes, clean: Callable[[str], str] | None) -> list[str]:
    text = content.decode(errors="replace").strip("\n")
    text = clean(text) if clean else text
    if not text:
        return [f"{name} is empty"]
    cut = f"\n[{len(text) - STREAM_CHARS} more characters not shown]" if len(text) > STREAM_CHARS else ""
    return [f"{name}:", text[:STREAM_CHARS] + cut]
