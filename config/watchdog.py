"""Run one command and end it when the process that asked for it has died.

    python -IS config/watchdog.py GRACE_SECONDS COMMAND [ARGUMENT...]

Standard input is the lifeline: a pipe whose write end only the parent holds. The pipe reaches its end however the
parent dies, by SIGKILL too. The command then gets SIGTERM and, GRACE_SECONDS later, its process group gets SIGKILL.
Nothing is polled. Only the standard library is used: this runs without site-packages.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

SIGNALLED = 128  # a shell's convention: exit code 128 + n when signal n ended the command


def kill_group(group: int) -> None:
    """Send SIGKILL to every process of the group, if any is left."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(group, signal.SIGKILL)


def end_with_lifeline(child: int, grace: float) -> None:
    """Wait for the end of standard input, then end the command: SIGTERM first, SIGKILL after the grace."""
    while os.read(0, 1):
        pass
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)
    time.sleep(grace)  # a daemon thread: when the command obeys, the main thread ends the process and this sleep
    kill_group(child)


def watch(command: list[str], grace: float) -> int:
    """Run the command in its own process group; return its exit code, or 128 + n for signal n."""
    # Inherited descriptors (a lock, for example) are meant for the command: close_fds stays off.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False, process_group=0)

    def forward(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    threading.Thread(target=end_with_lifeline, args=(child.pid, grace), daemon=True).start()
    code = child.wait()
    kill_group(child.pid)  # children that a killed command left behind
    return code if code >= 0 else SIGNALLED - code


if __name__ == "__main__":
    sys.exit(watch(sys.argv[2:], float(sys.argv[1])))
