"""Refuses to start a second worker under the name of a live one: they would share heartbeats, and control messages."""

import os
import time
import uuid

import psutil

from config.errors import StoreError, UsageError
from config.ledger.fleet import Fleet, WorkerView
from worker.fleet.heartbeat import LONGEST_INTERVAL

WATCH_SECONDS = 2 * LONGEST_INTERVAL + 1  # a live worker sends two heartbeats in this time
POLL_SECONDS = 0.2


def machine() -> str:
    """Identifies this machine in heartbeats; two Macs may have the same host name."""
    return f"{uuid.getnode():012x}"


def require_free(fleet: Fleet, name: str, *, lease_seconds: float) -> None:
    """Raise UsageError if another live worker has this name.

    A worker is dead if it has been silent for a lease, or if it ran on this machine and its process is gone: a killed
    worker is restarted at once. In doubt, as when it ran on another machine, its next heartbeat decides, within
    WATCH_SECONDS. An unavailable ledger does not stop a worker from starting; it waits for Redis anyway.
    """
    try:
        first = _view(fleet, name)
        if first is None or first.silent_seconds > lease_seconds or _is_gone(first):
            return
        deadline, last = time.monotonic() + WATCH_SECONDS, first.silent_seconds
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            view = _view(fleet, name)
            if view is None:
                return
            if view.silent_seconds < last:
                raise UsageError(
                    f"a worker named {name!r} is alive (process {view.fields.get('pid')!r}, on this or another machine "
                    "of this name): give another --name, or stop that worker first"
                )
            last = view.silent_seconds
    except StoreError:
        return


def _view(fleet: Fleet, name: str) -> WorkerView | None:
    return next((view for view in fleet.workers() if view.name == name), None)


def _is_gone(view: WorkerView) -> bool:
    """Whether the worker ran on this machine and its process does not exist any more."""
    pid = view.fields.get("pid")
    if view.fields.get("machine") != machine() or not isinstance(pid, int):
        return False
    try:
        return pid == os.getpid() or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
