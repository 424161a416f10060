"""The mlx_lm server, with the tool parser that some students use, the text of cut calls and a bound on its memory.

python -P -m worker.endpoint.serve_child [--record-loads FILE] --model DIRECTORY [any other option of mlx_lm's server]
"""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mlx_lm import server

from worker.device.mlx_limits import bound_memory
from worker.endpoint.cut_calls import keep_cut_calls
from worker.endpoint.loaded_weights import LoadedWeights
from worker.student import fenced_json

FAILED = 1
RECORD_LOADS = "--record-loads"  # where to record which weights were loaded; the first option


def main() -> None:
    """Serve until a signal arrives."""
    fenced_json.register()
    keep_cut_calls(server)
    bound_memory()
    if sys.argv[1:2] == [RECORD_LOADS]:
        _record_loads(Path(sys.argv[2]))
        del sys.argv[1:3]
    run: Callable[[], None] = server.main
    try:
        run()
    except Exception:  # noqa: BLE001  the process must exit on any error
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)  # otherwise the generation thread would keep the process alive


def _record_loads(file: Path) -> None:
    """Record each model that mlx_lm loads, the default one and any other that a request names."""
    load: Callable[..., object] = server.load  # type: ignore[attr-defined] # the name that ModelProvider calls

    def recorded(model: str, *arguments: object, adapter_path: str | None = None, **options: object) -> object:
        loaded = load(model, *arguments, adapter_path=adapter_path, **options)
        LoadedWeights.of(model, adapter_path).record(file)
        return loaded

    server.load = recorded  # type: ignore[attr-defined, assignment]


if __name__ == "__main__":
    main()
