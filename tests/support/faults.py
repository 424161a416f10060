"""A fault at a named call of a worker's process: it is killed there, its child is, or its disk is full from then on."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import psutil

ROOMY = "2g"  # a limit; memory is taken only by what is written
PAGE = 4096  # bytes


@dataclass(frozen=True)
class Fault:
    """What happens just before the `nth` call of a function."""

    at: str
    """MODULE:NAME or MODULE:CLASS.NAME, as its caller finds it"""
    nth: int = 1
    act: Literal["kill", "fill", "kill child"] = "kill"
    child: str = ""
    """module of the child process that "kill child" ends"""
    free: int = 0
    """bytes that "fill" leaves free"""


def plant(fault: Fault, folder: Path) -> None:
    """Replace the function by one that acts before its nth call. `folder`: on the disk that becomes full."""
    module, _, path = fault.at.partition(":")
    owner: object = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable[..., object] = getattr(owner, name)
    calls = 0

    def counted(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == fault.nth:
            act(fault, folder)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def act(fault: Fault, folder: Path) -> None:
    """Carry out the fault."""
    match fault.act:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fill":
            fill(folder, free=fault.free)
        case "kill child":
            children = psutil.Process().children(recursive=True)
            found = [one for one in children if fault.child in one.cmdline()[:4]]  # not its watchdog
            assert found, children
            for one in found:
                one.kill()


def fill(folder: Path, *, free: int = 0) -> None:
    """Make the tmpfs of a folder so small that so many bytes are free."""
    disk = os.statvfs(folder)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    resize(folder, str(used + free))


def resize(folder: Path, size: str = ROOMY) -> None:
    """Change the size of a folder's tmpfs; without a size it has room again."""
    mount = os.fspath(next(place for place in (folder, *folder.parents) if place.is_mount()))
    subprocess.run(["mount", "-o", f"remount,size={size}", mount], check=True)
