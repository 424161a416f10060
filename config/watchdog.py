"""Run one command and end it when the parent process dies.

    python -IS config/watchdog.py GRACE_SECONDS COMMAND [ARGUMENT...]

Standard input is a pipe whose write end only the parent holds, so it reaches EOF when the parent dies, even by SIGKILL.
The command then receives SIGTERM and, GRACE_SECONDS later, its process group receives SIGKILL. There is no polling.
Only the standard library is used, because this runs without site-packages.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

SIGNALLED = 128  # convention of shells: exit code 128 + n when signal n ended the command


def kill_group(group: int) -> None:
    """Send SIGKILL to every process of the group, if any is left."""
    with suppress(ProcessLookupError, PermissionError):  # macOS returns EPERM for a group of zombies
        os.killpg(group, signal.SIGKILL)


def end_with_lifeline(child: int, grace: float) -> None:
    """Wait for EOF on standard input, then end the command: SIGTERM, and SIGKILL after `grace` seconds."""
    while os.read(0, 1):
        pass
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)
    time.sleep(grace)  # in a daemon thread: if the command ends earlier, so does this process
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
