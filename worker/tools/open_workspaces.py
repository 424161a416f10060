"""Keeps a worker's workspaces open, so that a job neither runs git nor walks over files.

What keeps tools from edited code is the Tree, file by file. In addition, the whole directory is compared now and then:
a run whose directory was edited fails soon and with one message, and an edited checkout is made anew.
"""

import threading
import time
from collections import OrderedDict
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from config.errors import WorkspaceError
from config.owner_policy import Policy
from config.records import Pin
from worker.tools.workspace import Workspace, open_workspace

OPEN = 8  # workspaces; a run reads one or two, and 50,000 files take 25 MB
VERIFY_SECONDS = 30.0  # between comparisons of a whole directory: 10 ms for 2,500 files, 250 ms for 50,000


@dataclass
class _Opened:
    workspace: Workspace
    verified: float


class OpenWorkspaces:
    """The workspaces that one worker has open, by name and pin. Threads may share it."""

    def __init__(self) -> None:
        self._opened: OrderedDict[tuple[str, str], _Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}

    def find(self, name: str, pin: Pin) -> Workspace | None:
        """The open workspace; None if it is not open, was deleted, or no longer has the pinned content."""
        key = (name, pin.content)
        now = time.monotonic()
        with self._lock:
            found = self._opened.get(key)
            if found is None:
                return None
            self._opened.move_to_end(key)
            due = now - found.verified > VERIFY_SECONDS
            if due:
                found.verified = now  # the other threads go on meanwhile
        if found.workspace.root.is_dir() and not found.workspace.tree.edited:
            if not due:
                return found.workspace
            with suppress(WorkspaceError):
                found.workspace.tree.verify()
                return found.workspace
        with self._lock:
            if self._opened.get(key) is found:
                del self._opened[key]
        return None

    def open(self, name: str, *, cache: Path, expect: Pin | None, policy: Policy) -> Workspace:
        """Open a workspace and keep it open. Raises the errors of open_workspace."""
        workspace = open_workspace(name, cache=cache, expect=expect, policy=policy)
        with self._lock:
            self._opened[name, workspace.pin.content] = _Opened(workspace, time.monotonic())
            while len(self._opened) > OPEN:
                self._opened.popitem(last=False)
        return workspace

    def opening(self, name: str) -> AbstractContextManager[bool]:
        """A lock to hold while opening, so that one job opens a workspace and the others find it open."""
        with self._lock:
            return self._opening.setdefault(name, threading.Lock())
