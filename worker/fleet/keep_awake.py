"""Keeps a Mac awake while this worker has work, by a child `caffeinate` that is bound to the worker's process.

Only macOS: a Linux host that generates or trains is a server, and its idle suspend is the desktop's to configure.
Not covered: a closed lid, an empty battery, and `pmset sleepnow`; no assertion prevents these.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from config import logs
from config.records import JsonObject

log = logs.get(__name__)

IDLE_SECONDS = 60.0  # a pause between two jobs or stages of a run must not let the Mac sleep
RETRY_SECONDS = 60.0  # until the next start of a caffeinate that ended by itself or could not be started
STOP_SECONDS = 2.0


@dataclass
class KeepAwake:
    """The heartbeat calls `adjust`. `enabled` is the setting; other systems than macOS ignore it."""

    enabled: bool
    system: str = sys.platform
    clock: Callable[[], float] = time.monotonic
    _child: "subprocess.Popen[bytes] | None" = None
    _last_busy: float = field(default=float("-inf"))
    _not_before: float = field(default=float("-inf"))

    def adjust(self, *, busy: bool) -> None:
        """Start caffeinate for the first work, end it after IDLE_SECONDS without work."""
        if not self.enabled or self.system != "darwin":
            return
        now = self.clock()
        if busy:
            self._last_busy = now
        if self._child and (code := self._child.poll()) is not None:
            log.warning("keep_awake.ended", exit_code=code, retry_seconds=RETRY_SECONDS)
            self._child, self._not_before = None, now + RETRY_SECONDS
        if now - self._last_busy >= IDLE_SECONDS:
            self.stop()
        elif self._child is None and now >= self._not_before:
            self._start(now)

    def stop(self) -> None:
        """End caffeinate, so that the Mac may sleep."""
        if self._child:
            self._child.terminate()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None
            log.info("keep_awake.stopped")

    def status(self) -> JsonObject:
        """{"awake": whether this worker keeps its Mac awake now}; nothing on other systems."""
        if self.system != "darwin":
            return {}
        return {"awake": self._child is not None and self._child.poll() is None}

    def _start(self, now: float) -> None:
        # -i: no idle sleep, also on battery. -m: no disk sleep. -w: it ends with this process, even after kill -9.
        command = ["caffeinate", "-i", "-m", "-w", str(os.getpid())]
        try:
            self._child = subprocess.Popen(  # in its own group: Ctrl-C ends it only after the last job
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
            )
        except OSError as error:
            self._not_before = now + RETRY_SECONDS
            log.warning("keep_awake.failed", error=str(error), retry_seconds=RETRY_SECONDS)
            return
        log.info("keep_awake.started", command=" ".join(command), reason="this worker has work")
