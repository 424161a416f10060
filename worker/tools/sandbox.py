"""The sandbox of run_command: no network, no home, no parent's environment; the workspace can be read, not written.

On Linux bubblewrap makes new namespaces: the program sees the system's directories, its own installation and the
workspace at /workspace, all read-only, and an empty /tmp. It has its own process table, so that nothing outlives it and
no /proc of another process can be read, and no network, abstract sockets included. On macOS sandbox-exec denies the
same (not yet run there). `ulimit` bounds CPU time, memory, processes, open files and the size of a file.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from config.records import JsonObject
from config.settings import Settings

WORKSPACE = "/workspace"
SCRATCH_BYTES = 64 << 20  # of /tmp, and of /dev/shm
MEMORY_BYTES = 4 << 30  # of one process, and of all together; without the sandbox there is no limit
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/nix/store"),
)
INSTALLED = ("bin", "lib", "lib64", "libexec")  # directories of a program's installation, beside its bin
LIMITS = (  # KB of memory, and blocks of 512 bytes of a file; dash and bash name the number of processes differently
    "ulimit -t {seconds}; ulimit -v {memory}; ulimit -n 256; ulimit -f 131072;"
    ' ulimit -u 64 2>/dev/null || ulimit -p 64; exec "$@"'
)
PROFILE = """(version 1)
(deny default)
(allow process-fork) (allow process-exec*) (allow sysctl-read) (allow signal (target same-sandbox))
(allow file-read-metadata)
(allow file-read* (subpath "/usr") (subpath "/bin") (subpath "/sbin") (subpath "/System") (subpath "/Library")
  (subpath "/opt/homebrew") (subpath "/private/etc") (subpath "/dev") {readable})
(allow file-write* (subpath "/dev") (subpath "{scratch}"))
(deny network*)
"""
PROBE_SECONDS = 10.0
TRUE = "/usr/bin/true"  # on Linux and macOS
INSTALL = "apt-get install bubblewrap"


@cache
def missing() -> str:
    """Why there is no sandbox on this machine; "" if there is one."""
    name, program = ("sandbox-exec", "sandbox-exec") if sys.platform == "darwin" else ("bubblewrap", "bwrap")
    if shutil.which(program) is None:
        return f"{name} is not on PATH" if sys.platform == "darwin" else f"{name} is not installed ({INSTALL})"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            probe = sandboxed(TRUE, [], root=Path("/usr"), scratch=Path(scratch), seconds=PROBE_SECONDS)
            done = subprocess.run(
                probe, env=environment(TRUE, Path(scratch)), capture_output=True, timeout=PROBE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{name} does not work here: {error}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else f"{name} does not work here: {said[-1] if said else done.returncode}"


def heartbeat(settings: Settings) -> JsonObject:
    """The fields of a worker's heartbeat: programs start without a sandbox, or those that its owner names cannot."""
    commands = settings.policy.commands
    if settings.unsandboxed and commands != ():
        return {"unsandboxed": True}
    return {"no_sandbox": reason} if commands and (reason := missing()) else {}


def sandboxed(
    program: str, arguments: list[str], *, root: Path, scratch: Path, seconds: float, hidden: Sequence[str] = ()
) -> list[str]:
    """The command that runs a program over the workspace in the sandbox; `scratch` is an empty directory for macOS.

    The program cannot read the files of the workspace that are `hidden`.
    """
    limits = LIMITS.format(seconds=max(1, round(seconds)) + 1, memory=MEMORY_BYTES >> 10)
    limited = ["/bin/sh", "-c", limits, "sh", program, *arguments]
    if sys.platform != "darwin":
        return [*_bubblewrap(root, Path(program), hidden), *limited]
    places = [root.resolve(), *_installation(Path(program))]
    readable = " ".join(f'(subpath "{place}")' for place in places)
    profile = PROFILE.format(readable=readable, scratch=scratch.resolve())
    for path in hidden:  # of two rules the last one holds
        profile += f'(deny file-read-data (literal "{_quoted(root.resolve() / path)}"))\n'
    return [_found("sandbox-exec"), "-p", profile, *limited]


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def environment(program: str, scratch: Path) -> dict[str, str]:
    """What the program sees of an environment."""
    home = str(scratch) if sys.platform == "darwin" else "/tmp"  # noqa: S108 - the sandbox's own
    bins = dict.fromkeys([str(Path(program).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": ":".join(bins), "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8", "PAGER": "cat"}


def _found(name: str) -> str:
    """The path of a program: it is started with another PATH."""
    return shutil.which(name) or name


def _bubblewrap(root: Path, program: Path, hidden: Sequence[str]) -> list[str]:
    command = [_found("bwrap"), "--unshare-all", "--unshare-user", "--hostname", "sandbox"]
    command += ["--uid", "65534", "--gid", "65534"]  # nobody
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    for place in SYSTEM:
        command += ["--ro-bind-try", place, place]
    for installed in _installation(program):
        command += ["--ro-bind-try", str(installed), str(installed)]
    for place in ("/tmp", "/dev/shm"):  # noqa: S108 - the sandbox's own
        command += ["--size", str(SCRATCH_BYTES), "--tmpfs", place]
    command += ["--ro-bind", str(root.resolve()), WORKSPACE]
    for path in hidden:
        command += ["--ro-bind", "/dev/null", f"{WORKSPACE}/{path}"]
    for place in ("/dev", "/"):  # both are in memory, without a limit
        command += ["--remount-ro", place]
    return [*command, "--chdir", WORKSPACE]


def _installation(program: Path) -> list[Path]:
    """The directories that a program outside the system's needs: its bin and lib, and those it is a link to."""
    places: list[Path] = []
    for path in (program, program.resolve()):
        prefix = path.parent.parent if path.parent.name in {"bin", "sbin"} else None
        if not any(path.is_relative_to(place) for place in SYSTEM):
            places += [prefix / name for name in INSTALLED] if prefix else [path]
    return list(dict.fromkeys(place for place in places if place.exists()))
