"""The mlx_lm server in a process that ends with its parent.

    python -P -m worker.endpoint.serve_child --model DIRECTORY [any other option of mlx_lm's server]

Standard input is the lifeline: a pipe whose other end only the parent holds. When the parent is gone, however it ended,
reading the pipe ends and so does this process. mlx_lm's server itself never reads standard input.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from worker.student import fenced_json

FAILED = 1
ORPHANED = 70  # exit code when there is no group of our own to end


def end_with_parent() -> None:
    """Wait for the end of standard input, then end this process and what it started (a compiler, say)."""
    while os.read(0, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(ORPHANED)


def main() -> None:
    """Watch the lifeline first: importing mlx and loading a model take long enough for a parent to die."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    from mlx_lm import server  # here and not above: the lifeline must not wait for it

    fenced_json.register()
    run: Callable[[], None] = server.main
    try:
        run()
    except Exception:  # noqa: BLE001  whatever it is, the process must end
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)  # its generation thread would keep the process, deaf on a port that it never had


if __name__ == "__main__":
    main()
