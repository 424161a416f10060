"""The mlx_lm server, with the tool parser that some students use, the text of cut calls and a bound on its memory.

python -P -m worker.endpoint.serve_child --model DIRECTORY [any other option of mlx_lm's server]
"""

import os
import sys
import traceback
from collections.abc import Callable

from mlx_lm import server

from worker.device.mlx_limits import bound_memory
from worker.endpoint.cut_calls import keep_cut_calls
from worker.student import fenced_json

FAILED = 1


def main() -> None:
    """Serve until a signal arrives."""
    fenced_json.register()
    keep_cut_calls(server)
    bound_memory()
    run: Callable[[], None] = server.main
    try:
        run()
    except Exception:  # noqa: BLE001  the process must exit on any error
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)  # otherwise the generation thread would keep the process alive


if __name__ == "__main__":
    main()
